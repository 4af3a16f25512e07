"""The scripts that a worker's connections load."""

from __future__ import annotations

from gateway.option_groups import PublishOptions
from gateway.rooms.publish_commands import publishing
from gateway.rooms.routes import ClusterRoute, RoomRoute, SharedRoute
from gateway.state.publish_scripts import publish_scripts
from gateway.state.scripts import ALL

OPTIONS = PublishOptions()
KNOWN = (
    *ALL,
    *publish_scripts(publishing(RoomRoute(), OPTIONS, False)),
    *publish_scripts(publishing(SharedRoute(), OPTIONS, False)),
    *publish_scripts(publishing(ClusterRoute(), OPTIONS, True)),
)
"""All, with those that publish by any route with the options' defaults."""
