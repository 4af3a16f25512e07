-- Reads a room's history and its position in one step; makes the position if the room has none yet. Needs epoch.lua.
-- KEYS: 1 history list, 2 meta hash
-- ARGV: as they are named below
-- Returns {epoch, seq, entries oldest first, 1 if data was lost and the epoch is new, the seq from which the entries were
-- wanted: 0 if all are there; 1 if there was no such room; seq, JSON, seq, JSON ... of what is known beside the three
-- fields of entries; the time of the newest message (ms; empty if it is not known)}.
local history_key, meta_key = KEYS[1], KEYS[2]
local seen_epoch, seen_seq, seen_other, seen_ms_ago = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local spare_epoch, meta_ttl_s = ARGV[5], ARGV[6]
local wanted_epoch, wanted_seq = ARGV[7], tonumber(ARGV[8]) -- entries before this one need not be read
local empty_ttl_s = ARGV[9] or meta_ttl_s -- how long the position is kept of a room in which nothing was ever said
local shown_max = tonumber(ARGV[10]) -- nil: all that are there are shown

local epoch, seq, begun_ms, has_lost, last_ms, has_more, mod = room_position(
  history_key, meta_key, seen_epoch, seen_seq, seen_other, seen_ms_ago, spare_epoch)
local number = string.format('%d', seq)
if epoch ~= wanted_epoch or wanted_seq > seq then wanted_seq = 0 end -- they say nothing of this history
local more = {}
if has_more then
  more = call('HGETALL', string.sub(meta_key, 1, -5) .. 'more')
  -- Who missed that an entry was changed is told with any reading: then all are read.
  if tonumber(has_more) > seq - call('LLEN', history_key) then wanted_seq = 0 end
end
local first = wanted_seq > 0 and wanted_seq - seq - 1 or 0
if shown_max and (first == 0 or first < -shown_max) then first = -shown_max end
local last = -1
if shown_max == 0 then first, last = 1, 0 end -- none, and yet an error if it is no list
local entries = call('LRANGE', history_key, first, last) -- before all writes: it may be a key of another type
if begun_ms then
  call('HSET', meta_key, 'epoch', epoch, 'seq', number, 'begun', string.format(mod and '%d.0' or '%d', begun_ms))
end
local ttl_s = seq > 0 and meta_ttl_s or empty_ttl_s
call('EXPIRE', meta_key, ttl_s) -- always: a demoted primary, whose history is an old one, refuses the write
local is_new = begun_ms and not has_lost and seq == 0 and epoch ~= seen_epoch
local last = last_ms and string.format('%d', last_ms) or ''
return { epoch, number, entries, has_lost and 1 or 0, wanted_seq, is_new and 1 or 0, more, last }
