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
-- seen_epoch, seen_seq    the highest position that the worker knows to have existed in that epoch
-- seen_other              '1' if it saw other messages in places that are still shown here, else ''
-- seen_ms_ago             at least so many ms ago it saw that on another server; '' if it saw it on this one
-- Returns epoch, seq, begun_ms if a new epoch begins now (the caller stores it), whether data was lost, the time of
-- the newest message (ms; nil if it is not known), the field `more` of the meta hash (nil if the room has none), and
-- whether moderators have decided anything about the room (moderated.lua).
local call = redis.call -- looked up once: a hundredth of publishing

local function room_position(history_key, meta_key, seen_epoch, seen_seq, seen_other, seen_ms_ago, spare_epoch)
  local meta = call('HMGET', meta_key, 'epoch', 'seq', 'begun', 'last', 'more')
  local epoch, seq, last_ms = meta[1], tonumber(meta[2]), tonumber(meta[4])
  local more, mod = meta[5], meta[3] and #meta[3] > 13
  local has_lost = false
  if epoch == seen_epoch then
    has_lost = seq < tonumber(seen_seq) or seen_other ~= ''
    if not has_lost then return epoch, seq, nil, false, last_ms, more, mod end
  elseif epoch and seen_ms_ago == '' then
    return epoch, seq, nil, false, last_ms, more, mod
  end
  local time = call('TIME')
  local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  if epoch and epoch ~= seen_epoch then
    has_lost = tonumber(seen_ms_ago) <= now_ms - (tonumber(meta[3]) or 0)
    if not has_lost then return epoch, seq, nil, false, last_ms, more, mod end
  end
  if not epoch then
    -- Without a position the room is new, or the old service wrote it: its entries count from 1.
    seq = call('LLEN', history_key)
    -- Or nothing was ever said in it, and the position of such a room is kept for minutes only. Who has seen that here
    -- gives it back, so that the first message follows for those who are in.
    local is_expired = seq == 0 and seen_epoch ~= '' and seen_seq == '0' and seen_other == '' and seen_ms_ago == ''
    if is_expired then spare_epoch = seen_epoch end
    -- What moderators decided outlives the position of a room in which nothing is said.
    mod = call('HGET', string.sub(meta_key, 1, -5) .. 'moderated', 'until')
  end
  return spare_epoch, seq, now_ms, has_lost, last_ms, more, mod
end

