-- Numbers a message, stores it and tells the room, in one step. Needs epoch.lua.
-- KEYS: 1 history list, 2 meta hash; 3 the sender's idempotency key, 4 what gateways that did not look at the sender
--       called it (4 or both may be left out). The channel is no key: while its slot moves, a Cluster answers TRYAGAIN to a
--       script with a key that does not exist. For the same reason `more` and what moderators decided are none: they are
--       named after the meta hash, and looked at only where the room has had any.
-- ARGV: as they are named below; from `seen_epoch` on they differ from message to message, and the last five may be left out
-- Returns "<epoch>:<seq> <time in ms>"; "=<epoch>:<seq>" if the idempotency key was known and nothing was stored; "!" if
-- it was known with another content; "%<reason> <until>" if moderators do not allow it, "~<ms>" if they have set a time
-- between two messages and so many are left.
local history_key, meta_key, idempotency_key = KEYS[1], KEYS[2], KEYS[3]
local channel, room_json, spare_epoch = ARGV[1], ARGV[2], ARGV[3]
local seen_epoch, seen_seq = ARGV[4], ARGV[5]
local entry_head = ARGV[6] -- the stored JSON up to its time
local more = ARGV[7] or '' -- what is said of the message beside its three fields: members of a JSON object
local content = ARGV[8] -- with an idempotency key: the digest of what is sent
local seen_other, seen_ms_ago = ARGV[9] or '', ARGV[10] or ''
local is_exempt = ARGV[11] -- from the time between two messages
--@constants
if #spare_epoch > 10 then -- longer than an epoch: behind it stands how the room is kept, as a rule says
  local numbers = string.gmatch(spare_epoch, '%S+')
  spare_epoch, entries_max, history_ttl_s, meta_ttl_s =
    numbers(), tonumber(numbers()), tonumber(numbers()), tonumber(numbers())
end

if idempotency_key then
  local mine = call('GET', idempotency_key) -- "<position> <content>"
  local older = not mine and KEYS[4] and call('GET', KEYS[4]) -- a position alone
  if mine and string.sub(mine, -#content) ~= content then return '!' end
  if mine or older then
    -- A write that changes nothing: WAIT behind it waits until replicas have all that was written before, the message
    -- among it, by whichever connection that came.
    call('SET', mine and idempotency_key or KEYS[4], mine or older, 'KEEPTTL')
    return '=' .. string.match(mine or older, '^%S+')
  end
end
local epoch, seq, begun_ms, _, last_ms, has_more, mod = room_position(
  history_key, meta_key, seen_epoch, seen_seq, seen_other, seen_ms_ago, spare_epoch)
local number = string.format('%d', seq + 1)
local position = epoch .. ':' .. number
-- The time is Redis' own, and never before that of the message before: clocks of hosts differ, and are set.
local clock = call('TIME')
local time_ms = clock[1] * 1000 + (clock[2] - clock[2] % 1000) / 1000
if mod then
  local user = more ~= '' and cjson.decode('{' .. more .. '}').user
  local name = not user and cjson.decode(entry_head .. '0}').username
  local who, now_ms, refused = user or '\31' .. name, time_ms, nil
  --@moderated
  if refused then return refused end
  if set_slow_ms and set_slow_ms > 0 and not is_exempt then
    local set_key = room .. (user and 'slow:' .. user or 'slow-guest:' .. name)
    local left_ms = call('PTTL', set_key)
    if left_ms > 0 then return '~' .. left_ms end
    call('SET', set_key, '1', 'PX', set_slow_ms)
  end
end
local must_expire = not last_ms or begun_ms
if not last_ms then
  local newest = call('LINDEX', history_key, -1) -- the old service, or an older gateway, wrote it
  last_ms = newest and tonumber(string.match(newest, '"__createdtime__": ?(%d+)}%s*$')) or 0
  if last_ms > time_ms + 86400000 then last_ms = 0 end -- over a day ahead: that was no clock
end
if time_ms < last_ms then time_ms = last_ms end
-- Keys get their whole time to live again only where the last message was in an earlier hundredth of it: a busy room
-- saves two commands of a dozen, and a quiet one loses a hundredth at most.
local step_ms = 10 * math.min(history_ttl_s, meta_ttl_s)
must_expire = must_expire or time_ms - time_ms % step_ms > last_ms
local time = string.format('%d', time_ms)
local length = call('RPUSH', history_key, entry_head .. time .. '}') -- before the number moves: it may be refused
call('HSET', meta_key, 'seq', number, 'last', time)
if begun_ms then
  call('HSET', meta_key, 'epoch', epoch, 'begun', string.format(mod and '%d.0' or '%d', begun_ms))
end
if length == entries_max + 1 then
  call('LPOP', history_key) -- cheaper than LTRIM, which looks from both ends
elseif length > entries_max then
  call('LTRIM', history_key, length - entries_max, -1)
end
if must_expire or length == 1 then
  call('EXPIRE', meta_key, meta_ttl_s)
  call('EXPIRE', history_key, history_ttl_s)
end
if more ~= '' or has_more then
  local more_key = string.sub(meta_key, 1, -5) .. 'more' -- hash: seq -> JSON object
  if more ~= '' then
    if not has_more then
      call('DEL', more_key) -- of a position before this one
      -- A long value makes a hash table of it, in which a field is found at once: 0.9 of 2.6 µs.
      call('HSET', more_key, 'layout', string.rep(' ', 65))
      call('HSET', meta_key, 'more', '0') -- the highest seq that was changed afterwards
    end
    call('HSET', more_key, number, '{' .. more .. '}')
    more = ',' .. more
  end
  if must_expire or length == 1 or not has_more then call('EXPIRE', more_key, history_ttl_s) end
  if seq % 16 == 0 then -- forgets what was known of the 16 entries that were trimmed since the last time
    local trimmed, fields = seq + 1 - entries_max, {}
    for each = trimmed - 15, trimmed do fields[#fields + 1] = string.format('%d', each) end
    call('HDEL', more_key, unpack(fields))
    local count = call('HLEN', more_key)
    if count <= 1 then
      call('DEL', more_key)
      call('HDEL', meta_key, 'more')
    end
    if count > entries_max + 17 then -- a gateway that does not know of it has trimmed, or fewer are kept than before
      local page = call('HSCAN', more_key, '0', 'COUNT', 2 * entries_max + 50)[2]
      for at = 1, #page, 2 do
        if (tonumber(page[at]) or seq) <= trimmed then call('HDEL', more_key, page[at]) end
      end
    end
  end
end
if idempotency_key then call('SET', idempotency_key, position .. ' ' .. content, 'EX', idempotency_ttl_s) end
local told = position
if has_origin then
  local node = redis.pcall('CLUSTER', 'MYID') -- a user who may not ask tells nothing
  if type(node) == 'string' then told = epoch .. '@' .. string.sub(node, 1, 8) .. ':' .. number end
end
--@traced
call(publish_command, channel, before_position .. told .. before_data
  .. entry_head .. time .. ',"room":' .. room_json .. ',"id":"' .. position .. '"' .. more .. '}' .. after_data)
return position .. ' ' .. time
