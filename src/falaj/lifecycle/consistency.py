"""Consistency: are the features that were served those that the tables say?"""
