"""The rules of the gate that belong to the lane: in the unit of a send, and in the reactor turn that writes."""
