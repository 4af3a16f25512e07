// A Go client (zishang520/socket.io): joins a room at every connect, with `since`, and says what it is given line by
// line. Tells on standard output what it saw: joined RECOVERED, received ID TEXT, sent ID.
package main

import (
	"bufio"
	"fmt"
	"os"
	"sync"

	"github.com/zishang520/socket.io/clients/socket/v3"
)

var (
	mutex     sync.Mutex
	lastID    any              // the position of the last message that is shown
	replay    []map[string]any // while a join is not answered: what it has brought so far
	isJoining bool
)

func show(message map[string]any) {
	lastID = message["id"]
	fmt.Println("received", message["id"], message["message"])
}

func main() {
	url, room, name := os.Args[1], os.Args[2], os.Args[3]
	options := socket.DefaultOptions()
	options.SetReconnectionDelay(100)
	options.SetReconnectionDelayMax(500)
	client, err := socket.Connect(url, options)
	if err != nil {
		panic(err)
	}
	client.On("connect", func(...any) {
		mutex.Lock()
		replay, isJoining = nil, true
		join := map[string]any{"room": room, "username": name}
		if lastID != nil {
			join["since"] = lastID
		}
		mutex.Unlock()
		client.EmitWithAck("join", join)(func(answers []any, err error) {
			if err != nil || len(answers) == 0 {
				return
			}
			mutex.Lock()
			defer mutex.Unlock()
			answer := answers[0].(map[string]any)
			fmt.Println("joined", answer["recovered"])
			for _, message := range replay {
				show(message)
			}
			if len(replay) == 0 {
				lastID = answer["id"]
			}
			isJoining = false
		})
	})
	client.On("receive", func(events ...any) {
		message := events[0].(map[string]any)
		mutex.Lock()
		defer mutex.Unlock()
		if _, isStored := message["id"]; !isStored {
			return // a notice
		}
		if isJoining {
			replay = append(replay, message)
		} else {
			show(message)
		}
	})
	lines := bufio.NewScanner(os.Stdin)
	for number := 1; lines.Scan(); number++ {
		key := fmt.Sprintf("%s-%d-%d", name, os.Getpid(), number)
		said := map[string]any{"room": room, "message": lines.Text(), "idempotency_key": key}
		client.EmitWithAck("send", said)(func(answers []any, err error) {
			if err == nil && len(answers) > 0 {
				fmt.Println("sent", answers[0].(map[string]any)["id"])
			}
		})
	}
	client.Disconnect()
}
