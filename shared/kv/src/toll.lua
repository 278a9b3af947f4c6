-- What a message pays before it is published: the claim of its id, and its rate limits.
--
-- KEYS[1]  the prefix of all keys; it holds a hash tag, so that they share one cluster slot
-- ARGV[1]  pay | release
--
--   <prefix>:claim:<message id>  string: the fingerprint of the message that has this id
--   <prefix>:rate:<name>         hash: what was used up, by the second of Redis TIME
--     <second>  how much in that second
--     total     how much in all seconds that are kept
--     first     the oldest second that is kept
--     last      the newest one
--
-- All of them expire by themselves.

local prefix = KEYS[1]
local time = redis.call('TIME')
local now_s = tonumber(time[1])
local now_ms = now_s * 1000 + math.floor(time[2] / 1000)

-- How many seconds count.
local MINUTE = 60

-- What is left of a limit. recado_kv::toll::Ledger counts in the same way without Redis; a test
-- compares the two.
local function look(name, limit)
  local key = prefix .. ':rate:' .. name
  local kept = redis.call('HMGET', key, 'total', 'first', 'last')
  local total, first, last = tonumber(kept[1]), tonumber(kept[2]), tonumber(kept[3])
  -- A clock that was set back by more than a minute must not hold a limit until it catches up.
  if not (total and first and last) or math.abs(now_s - last) >= MINUTE then
    redis.call('DEL', key)
    return { key = key, limit = limit, second = now_s, total = 0, first = now_s, last = now_s }
  end
  -- Time stands still for a key while the clock is behind it.
  local second = math.max(now_s, last)
  -- Each second is passed once, so this is one step per call, or less, on average.
  local oldest = first
  while first < last do
    local used = tonumber(redis.call('HGET', key, first) or 0)
    if used > 0 and first + MINUTE > second then break end
    redis.call('HDEL', key, first)
    total = total - used
    first = first + 1
  end
  if first ~= oldest then
    redis.call('HSET', key, 'total', total, 'first', first)
  end
  return { key = key, limit = limit, second = second, total = total, first = first, last = last }
end

local function consume(rate)
  rate.total = rate.total + 1
  rate.last = rate.second
  redis.call('HINCRBY', rate.key, rate.second, 1)
  redis.call('HSET', rate.key, 'total', rate.total, 'first', rate.first, 'last', rate.last)
  redis.call('EXPIRE', rate.key, MINUTE)
end

local function ms_until_forgotten(second)
  return (second + MINUTE) * 1000 - now_ms
end

-- How much remains, when all of it is there again, and (0: now) when there is some again.
local function describe(rate, is_refused)
  local resets_in, retry_in = 0, 0
  if rate.total > 0 then
    resets_in = ms_until_forgotten(rate.last)
  end
  if is_refused then
    retry_in = rate.total > 0 and ms_until_forgotten(rate.first) or MINUTE * 1000
  end
  return { math.max(0, rate.limit - rate.total), resets_in, retry_in }
end

-- ARGV[2…4]: message id (empty: nothing to claim), fingerprint, how long to keep the claim in ms.
-- ARGV[5…]: name of what is limited, limit a minute, and again.
local function pay()
  local id, fingerprint, ttl_ms = ARGV[2], ARGV[3], ARGV[4]
  local claim_key = prefix .. ':claim:' .. id
  local holder = id ~= '' and redis.call('GET', claim_key)
  if holder and holder ~= fingerprint then return { 'conflict', {} } end
  local rates, is_limited = {}, false
  for i = 5, #ARGV, 2 do
    local rate = look(ARGV[i], tonumber(ARGV[i + 1]))
    is_limited = is_limited or rate.total >= rate.limit
    table.insert(rates, rate)
  end
  local descriptions = {}
  for _, rate in ipairs(rates) do
    if not is_limited then
      consume(rate)
    end
    table.insert(descriptions, describe(rate, is_limited and rate.total >= rate.limit))
  end
  if is_limited then return { 'limited', descriptions } end
  if holder then return { 'duplicate', descriptions } end
  if id ~= '' then
    redis.call('SET', claim_key, fingerprint, 'PX', ttl_ms)
  end
  return { 'admitted', descriptions }
end

-- ARGV[2]: message id; ARGV[3]: fingerprint. A claim that is another message's stays.
local function release()
  local claim_key = prefix .. ':claim:' .. ARGV[2]
  if redis.call('GET', claim_key) == ARGV[3] then
    return redis.call('DEL', claim_key)
  end
  return 0
end

if ARGV[1] == 'pay' then return pay() end
if ARGV[1] == 'release' then return release() end
return redis.error_reply('unknown command')
