// Join a room
socket.emit('join', { username: 'User123', room: 'room-id' })
