"""What happens to a request: the door, the tasks it becomes, the verdicts on its pictures, and the way up. No torch, no web."""
