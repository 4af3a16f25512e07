// Send a message
socket.emit('send', {
    room: 'room-id',
    username: 'User123',
    message: 'Hello World'
})
