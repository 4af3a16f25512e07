"""What browsers load: the page to chat with, and the module `chat.js` that it is built on. Files of this folder alone;
nothing here knows what is said in a room."""
