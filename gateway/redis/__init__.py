"""Bytes to and from Redis, whatever the topology; nothing about rooms."""
