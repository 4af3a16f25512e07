// The stock Java client: joins a room at every connect, with `since`, and says what it is given line by line.
// Tells on standard output what it saw: joined RECOVERED, received ID TEXT, sent ID.

import io.socket.client.Ack;
import io.socket.client.IO;
import io.socket.client.Socket;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.json.JSONObject;

public class Chat {
    private static String lastId = null;           // the position of the last message that is shown
    private static List<JSONObject> replay = null; // while a join is not answered: what it has brought so far

    public static void main(String[] words) throws Exception {
        String url = words[0], room = words[1], name = words[2];
        IO.Options options = IO.Options.builder().setReconnectionDelay(100).setReconnectionDelayMax(500).build();
        Socket socket = IO.socket(URI.create(url), options);
        socket.on(Socket.EVENT_CONNECT, nothing -> {
            replay = new ArrayList<>();
            Map<String, Object> join = new HashMap<>(Map.of("room", room, "username", name));
            if (lastId != null) join.put("since", lastId);
            socket.emit("join", new Object[] {new JSONObject(join)}, (Ack) answers -> {
                JSONObject answer = (JSONObject) answers[0];
                System.out.println("joined " + answer.opt("recovered"));
                for (JSONObject message : replay) show(message);
                if (replay.isEmpty()) lastId = answer.optString("id", lastId);
                replay = null;
            });
        });
        socket.on("receive", events -> {
            JSONObject message = (JSONObject) events[0];
            if (!message.has("id")) return; // a notice
            if (replay != null) replay.add(message);
            else show(message);
        });
        socket.connect();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Map<String, Object> message = Map.of(
                "room", room, "message", line, "idempotency_key", UUID.randomUUID().toString());
            socket.emit("send", new Object[] {new JSONObject(message)}, (Ack) answers ->
                System.out.println("sent " + ((JSONObject) answers[0]).opt("id")));
        }
        socket.disconnect();
        System.exit(0);
    }

    private static void show(JSONObject message) {
        lastId = message.optString("id");
        System.out.println("received " + lastId + " " + message.optString("message"));
    }
}
