// Receive messages (including system messages)
socket.on('receive', (data) => {
    // data.message - message content
    // data.username - sender's username
    // data.__createdtime__ - timestamp
})

// Error handling
socket.on('error', (data) => {
    // data.message - error message
})
