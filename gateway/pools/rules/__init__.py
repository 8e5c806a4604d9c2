"""Liquidity: the rules of a cash pool (归集, 下拨) and the moves of a run. Pure: facts in, moves out."""
