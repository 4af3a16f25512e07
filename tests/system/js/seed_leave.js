// Leave a room
socket.emit('leave', { username: 'User123', room: 'room-id' })
