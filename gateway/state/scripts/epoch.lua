-- The epoch rule, for every script that reads or moves a room's position (it is put in front of them).
--
-- A position is an epoch and a seq; inside an epoch seq counts 1, 2, 3 ... Redis may come back with older data, or
-- another server may take over that lacks the last messages. It would then give the same numbers to other messages.
-- Example: epoch a holds 1, 2, 3; Redis loses 2 and 3 and numbers 2, 3, 4 again: a client at 3 must not be told that
-- only 4 is missing. So a worker says what it has observed, and a room that does not hold that begins a new epoch:
--
--   same epoch, and the room is behind the observed seq             -> data was lost
--   same epoch, and the worker saw other messages in these places   -> data was lost
--   another epoch, which began here after the worker had seen its   -> data was lost: who told of the loss before did
--   position on another server                                         not know of this one, so all are told again
--
-- observed: epoch, seq, contradicted ('1' or ''), age_ms (of the sighting on another server, or '')
-- Returns epoch, seq, begun_ms if a new epoch begins now (the caller stores it), and whether data was lost.
local function room_position(history_key, meta_key, observed, spare_epoch)
  local meta = redis.call('HMGET', meta_key, 'epoch', 'seq', 'begun')
  local epoch, seq, begun_ms = meta[1], tonumber(meta[2]), tonumber(meta[3]) or 0
  local is_same = epoch == observed.epoch
  local has_lost = is_same and (seq < tonumber(observed.seq) or observed.contradicted ~= '')
  local is_older = epoch and not is_same and observed.age_ms ~= ''
  if epoch and not has_lost and not is_older then return epoch, seq, nil, false end
  local time = redis.call('TIME')
  local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  if is_older then
    has_lost = tonumber(observed.age_ms) <= now_ms - begun_ms
    if not has_lost then return epoch, seq, nil, false end
  end
  -- Without a position the room is new, or the old service wrote it: its entries count from 1.
  if not epoch then seq = redis.call('LLEN', history_key) end
  return spare_epoch, seq, now_ms, has_lost
end

