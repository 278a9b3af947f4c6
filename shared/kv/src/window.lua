-- The open windows of all sessions: which messages each holds, and when each is due.
--
-- KEYS[1]  the prefix of all keys; it holds a hash tag, so that they share one cluster slot
-- ARGV[1]  push | claim | commit
--
--   <prefix>:due                sorted set: session -> when to flush it, in ms of Redis TIME
--   <prefix>:window:<session>   sorted set: message id -> its arrival in µs, strictly rising
--   <prefix>:policy:<session>   hash: window_ms, max_messages, max_wait_ms of the last message
--   <prefix>:claimed:<session>  list: the ids that somebody is flushing just now
--   <prefix>:intact             missing after a wipe, until somebody has put the windows back
--
-- While a session has a claim, its `due` is the end of the claim's lease; messages that arrive
-- gather in the window behind it. An expired lease gives the next claimer the same ids.

local prefix = KEYS[1]
local due_key = prefix .. ':due'
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)

-- As many as a policy may say; what Lua can unpack is far more.
local MAX_MESSAGES = 100

-- Lua prints large numbers in exponents, which would lose digits.
local function whole(number)
  return string.format('%.0f', number)
end

-- recado_types::buffer::Window::verdict, once more. A property test compares the two.
local function schedule(session)
  local window_key = prefix .. ':window:' .. session
  local policy_key = prefix .. ':policy:' .. session
  local n_messages = redis.call('ZCARD', window_key)
  if n_messages == 0 then
    redis.call('ZREM', due_key, session)
    redis.call('DEL', policy_key)
    return
  end
  local policy = redis.call('HMGET', policy_key, 'window_ms', 'max_messages', 'max_wait_ms')
  local first = redis.call('ZRANGE', window_key, 0, 0, 'WITHSCORES')
  local last = redis.call('ZRANGE', window_key, -1, -1, 'WITHSCORES')
  local quiet = math.floor(last[2] / 1000) + (policy[1] or 0)
  local patience = math.floor(first[2] / 1000) + (policy[3] or 0)
  local deadline = math.min(quiet, patience)
  if n_messages >= tonumber(policy[2] or 1) then
    deadline = now_ms
  end
  redis.call('ZADD', due_key, whole(deadline), session)
end

-- ARGV[2…]: session, message id, window_ms, max_messages, max_wait_ms, and again.
-- A message that is there already, or being flushed, changes nothing.
local function push()
  for i = 2, #ARGV, 5 do
    local session, id = ARGV[i], ARGV[i + 1]
    local window_key = prefix .. ':window:' .. session
    local claimed_key = prefix .. ':claimed:' .. session
    local is_claimed = redis.call('EXISTS', claimed_key) == 1
    local is_known = redis.call('ZSCORE', window_key, id)
      or (is_claimed and redis.call('LPOS', claimed_key, id))
    if not is_known then
      local last = redis.call('ZRANGE', window_key, -1, -1, 'WITHSCORES')
      local arrival = now_us
      if last[2] and tonumber(last[2]) >= arrival then
        arrival = last[2] + 1
      end
      redis.call('ZADD', window_key, whole(arrival), id)
      redis.call('HSET', prefix .. ':policy:' .. session,
        'window_ms', ARGV[i + 2], 'max_messages', ARGV[i + 3], 'max_wait_ms', ARGV[i + 4])
      -- A claim that nothing would ever look at again, because its entry was evicted, is due too.
      if not is_claimed or not redis.call('ZSCORE', due_key, session) then
        schedule(session)
      end
    end
  end
  return redis.call('EXISTS', prefix .. ':intact')
end

-- ARGV[2]: the most windows; ARGV[3]: the lease in ms.
-- Answers whether the windows are intact, in how many ms the next one is due (-1: none), and the
-- claims: a session, how many ms ago it was due, and its message ids each.
local function claim()
  local claims = {}
  local due = redis.call('ZRANGE', due_key, '-inf', whole(now_ms),
    'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
  for i = 1, #due, 2 do
    local session, late_ms = due[i], now_ms - due[i + 1]
    local window_key = prefix .. ':window:' .. session
    local claimed_key = prefix .. ':claimed:' .. session
    if redis.call('EXISTS', claimed_key) == 0 then
      local most = tonumber(redis.call('HGET', prefix .. ':policy:' .. session, 'max_messages') or 1)
      most = math.max(1, math.min(most, MAX_MESSAGES))
      local ids = redis.call('ZRANGE', window_key, 0, most - 1)
      if #ids > 0 then
        redis.call('RPUSH', claimed_key, unpack(ids))
        redis.call('ZREM', window_key, unpack(ids))
      end
    end
    local ids = redis.call('LRANGE', claimed_key, 0, -1)
    if #ids == 0 then
      schedule(session)
    else
      redis.call('ZADD', due_key, whole(now_ms + ARGV[3]), session)
      table.insert(ids, 1, session)
      table.insert(ids, 2, whole(late_ms))
      table.insert(claims, ids)
    end
  end
  local next = redis.call('ZRANGE', due_key, 0, 0, 'WITHSCORES')
  local next_in = -1
  if next[2] then
    next_in = math.max(0, next[2] - now_ms)
  end
  return { redis.call('EXISTS', prefix .. ':intact'), next_in, claims }
end

-- ARGV[2…]: session, first claimed id, and again. A claim that is not ours any more stays.
local function commit()
  for i = 2, #ARGV, 2 do
    local session = ARGV[i]
    local claimed_key = prefix .. ':claimed:' .. session
    if redis.call('LINDEX', claimed_key, 0) == ARGV[i + 1] then
      redis.call('DEL', claimed_key)
      schedule(session)
    end
  end
  return 1
end

if ARGV[1] == 'push' then return push() end
if ARGV[1] == 'claim' then return claim() end
if ARGV[1] == 'commit' then return commit() end
return redis.error_reply('unknown command')
