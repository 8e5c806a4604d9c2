"""Drills of operators on real processes while an ERP keeps sending: upgrade, rotations, restore."""
