"""The desktop arena. Sessions (what happens) know no pygame; views (how it looks) draw them."""
