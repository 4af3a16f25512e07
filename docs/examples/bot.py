"""A bot: answers `!time` in the room that it is given. `python bot.py http://127.0.0.1:8006 lobby`"""

import asyncio
import sys
import time

from gateway.client import ChatError, connect


async def main(url: str, name: str) -> None:
    async with connect(url, username="Timekeeper") as chat:
        room = chat.room(name)
        messages = room.new_messages()  # from here on; what is missed while the connection is away comes, too
        await room.joined()
        print("listening", flush=True)
        async for message in messages:
            if message.text == "!time" and message.username != chat.username:
                try:
                    await room.send(f"It is {time.strftime('%H:%M')}.", meta={"reply_to": message.id})
                except ChatError as error:
                    print(error)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
