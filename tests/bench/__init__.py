"""What a message costs, here and in what people run today: `make bench`. Not collected as tests."""
