"""How a unit of work becomes durable: the store, the group commit, the rows and the logs that go with it."""
