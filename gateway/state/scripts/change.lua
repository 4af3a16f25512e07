-- Changes the text of a stored message and tells the room, in one step: its three fields stay three, its name and its
-- time stay, and so does its position.
-- KEYS: 1 history list, 2 meta hash. `more` is none, for the reason that publish.lua gives.
-- ARGV: as they are named below
-- Returns when it was changed (ms); "-" if there is no such message; "=" if it is another user's; "<" if it is too old;
-- "%<reason> <until>" if moderators do not allow it.
local history_key, meta_key = KEYS[1], KEYS[2]
local publish_command, channel = ARGV[1], ARGV[2]
local before, after = ARGV[3], ARGV[4] -- what is put around the data of the event
local room_json, epoch, seq = ARGV[5], ARGV[6], ARGV[7]
local kind, message_json, by_json = ARGV[8], ARGV[9], ARGV[10]
local own_user, own_ms = ARGV[11], tonumber(ARGV[12]) -- whose message it must be, and how old at most; '' for anybody's

local meta = redis.call('HMGET', meta_key, 'epoch', 'seq', 'last', 'more', 'begun')
local newest_seq, last_ms, has_more, begun = tonumber(meta[2]), meta[3], meta[4], meta[5]
if meta[1] ~= epoch or tonumber(seq) > newest_seq then return '-' end
local place = tonumber(seq) - newest_seq - 1
local stored = redis.call('LINDEX', history_key, place)
if not stored then return '-' end
local created = '"__createdtime__"%s*:%s*(%d+)%s*}%s*$'
local newest_ms = string.match(redis.call('LINDEX', history_key, -1), created)
if last_ms and newest_ms ~= last_ms then return '-' end -- others write this list: whose message that is, nobody knows

local more_key = string.sub(meta_key, 1, -5) .. 'more'
local known = has_more and redis.call('HGET', more_key, seq) or '{}'
local is_read, about = pcall(cjson.decode, known)
if not is_read or type(about) ~= 'table' then known, about = '{}', {} end
local changed = type(about.changed) == 'table' and about.changed or nil
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

if own_user ~= '' then
  if about.user ~= own_user then return '=' end
  if now_ms - tonumber(string.match(stored, created) or '0') > own_ms then return '<' end
  if begun and #begun > 13 then
    local who, refused, set_slow_ms = own_user, nil, nil
    --@moderated
    if refused then return refused end
  end
end
if changed and changed.kind == 'redacted' and kind ~= 'redacted' then return '-' end

-- The same entry with another text. As JSON is written, a quote inside of a text has a backslash before it.
local function with_text(entry)
  local _, begins = string.find(entry, '^%s*{%s*"message"%s*:%s*"')
  local _, _, rest = string.find(entry, '"%s*,%s*("username"%s*:.*)$', begins and begins + 1 or #entry + 1)
  if rest then return '{"message":' .. message_json .. ',' .. rest end
  local can_read, fields = pcall(cjson.decode, entry) -- another hand wrote it
  if not can_read or type(fields) ~= 'table' then fields = {} end
  local username = type(fields.username) == 'string' and fields.username or ''
  return '{"message":' .. message_json .. ',"username":' .. cjson.encode(username)
    .. string.format(',"__createdtime__":%.0f}', tonumber(fields.__createdtime__) or 0)
end

local entry, at = with_text(stored), nil
if entry == stored and changed and changed.kind == kind then -- done before: the room is told once more
  by_json, at = cjson.encode(changed.by), string.format('%.0f', changed.at)
else
  at = string.format('%.0f', math.max(now_ms, (changed and tonumber(changed.at) or 0) + 1))
  -- Behind `user` and, unless the message is taken away, `meta`; `changed` is always the last member.
  local members = string.match(known, changed and '^{(.*)"changed":{.*$' or '^%s*{(.*)}%s*$') or ''
  if kind == 'redacted' then members = type(about.user) == 'string' and '"user":' .. cjson.encode(about.user) or '' end
  if string.match(members, '[^%s,]%s*$') then members = members .. ',' end
  redis.call('LSET', history_key, place, entry)
  if not has_more then redis.call('DEL', more_key) end -- of a position before this one
  redis.call('HSET', more_key, seq,
    '{' .. members .. '"changed":{"kind":"' .. kind .. '","by":' .. by_json .. ',"at":' .. at .. '}}')
  redis.call('HSET', meta_key, 'more', string.format('%d', math.max(tonumber(has_more) or 0, tonumber(seq))))
  if not last_ms and newest_ms then redis.call('HSET', meta_key, 'last', newest_ms) end
  local left_ms = redis.call('PTTL', history_key)
  if left_ms > 0 and redis.call('HLEN', more_key) == 1 then redis.call('PEXPIRE', more_key, left_ms) end
end
redis.call(publish_command, channel, before .. '{"room":' .. room_json .. ',"id":"' .. epoch .. ':' .. seq
  .. '","kind":"' .. kind .. '","message":' .. message_json .. ',"by":' .. by_json .. ',"at":' .. at .. '}' .. after)
return at
