-- Reads the messages of a room that a webhook was not told of, and which of the others were changed.
-- KEYS: 1 history list, 2 meta hash, 3 how far the webhook was told. `more` is none, for the reason that publish.lua gives.
-- ARGV: 1 fence of the reader, 2 how many messages at most
-- Returns {a fence above the reader's, or 0; epoch, '' if the room has no position; seq of the newest message; the
-- oldest that is kept; the position up to which it was told, '' if none; where what it misses begins, '' if nowhere; the
-- changes that it was told; seq of the first message below; messages, as stored; time of the newest message, ms; seq,
-- JSON, seq, JSON ... of what is known beside the three fields of these messages, or of all where some were changed;
-- seq, message, seq, message ... of those that were changed and were told before}.
local fence, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local told = redis.call('HMGET', KEYS[3], 'at', 'gap', 'fence', 'changes')
local at, gap, fence_before, changes = told[1] or '', told[2] or '', tonumber(told[3] or '') or 0, told[4] or ''
if fence_before > fence then return {fence_before} end
if told[1] and fence_before < fence then redis.call('HSET', KEYS[3], 'fence', ARGV[1]) end
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'seq', 'last', 'more')
local epoch, seq, has_more = meta[1], tonumber(meta[2] or ''), meta[4]
if not epoch or not seq then return {0, '', 0, 0, at, gap, changes, 0, {}, 0, {}, {}} end
local oldest = seq - redis.call('LLEN', KEYS[1]) + 1
local told_epoch, told_seq = string.match(at, '^(.*):(%d+)$')
local first = oldest
if told_epoch == epoch and tonumber(told_seq) <= seq then first = math.max(oldest, tonumber(told_seq) + 1) end
local entries, more, changed = {}, {}, {}
if first <= seq then entries = redis.call('LRANGE', KEYS[1], first - oldest, first - oldest + most - 1) end
if has_more then
  local more_key = string.sub(KEYS[2], 1, -5) .. 'more'
  if (tonumber(has_more) or 0) >= oldest then
    more = redis.call('HGETALL', more_key)
    for place = 1, #more, 2 do
      local number = tonumber(more[place])
      if number and number >= oldest and number < first and string.find(more[place + 1], '"changed"', 1, true) then
        changed[#changed + 1] = more[place]
        changed[#changed + 1] = redis.call('LINDEX', KEYS[1], number - seq - 1) or ''
      end
    end
  else
    for place = 1, #entries do
      local number = string.format('%d', first + place - 1)
      local found = redis.call('HGET', more_key, number)
      if found then
        more[#more + 1] = number
        more[#more + 1] = found
      end
    end
  end
end
return {0, epoch, seq, oldest, at, gap, changes, first, entries, tonumber(meta[3] or '') or 0, more, changed}
