"""One room of tens of thousands of members: does everybody get everything, in order, and how soon?

Owns a load that is cheap enough to share a small machine with the gateway: what members get is not parsed but compared
(`stand.py`), with what a few who talk got, who read every frame (`speakers.py`).
"""
