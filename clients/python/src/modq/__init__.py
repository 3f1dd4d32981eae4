"""modq"""
