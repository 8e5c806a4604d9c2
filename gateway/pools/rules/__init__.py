"""Liquidity: the rules of a cash pool (归集, 下拨) and what a run of them moves. Pure: facts in, moves out."""
