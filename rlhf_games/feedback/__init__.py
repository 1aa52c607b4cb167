"""Feedback: kinds of answers, their store, what to ask, who answers, and likelihoods."""
