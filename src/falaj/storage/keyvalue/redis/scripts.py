"""Scripts: the steps that Redis takes as one, in Lua. Each touches keys of one slot only."""

ACQUIRE = """
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner and owner ~= ARGV[1] then return redis.error_reply('FALAJ_FOREIGN') end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'token', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
return redis.call('HGETALL', KEYS[1])
"""
"""KEYS: control. ARGV: the folder's id, a token nobody had before. From here on every older token is refused."""

BEGIN = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return redis.error_reply('FALAJ_LOST') end
local owner, epoch = redis.call('HGET', KEYS[1], 'owner'), redis.call('HGET', KEYS[1], 'epoch')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'owner', owner, 'token', ARGV[1], 'epoch', epoch, 'generation', ARGV[2])
return 'OK'
"""
"""KEYS: control. ARGV: token, generation. Without the field `ready` the store counts as not yet emptied."""

READY = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return redis.error_reply('FALAJ_LOST') end
redis.call('HSET', KEYS[1], 'ready', '1', 'number', '0')
return 'OK'
"""
"""KEYS: control. ARGV: token."""

WRITE = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return redis.error_reply('FALAJ_LOST') end
local checks, deletes, puts = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local key, arg = 1, 4
for i = 1, checks do
    local now = redis.call('GET', KEYS[key + i])
    if (now and '+' .. now or '-') ~= ARGV[arg + i] then return redis.error_reply('FALAJ_CHANGED') end
end
key, arg = key + checks, arg + checks
for i = 1, deletes do redis.call('UNLINK', KEYS[key + i]) end
key = key + deletes
for i = 1, puts do redis.call('SET', KEYS[key + i], ARGV[arg + i]) end
return 'OK'
"""
"""KEYS: control, checked, deleted and put keys. ARGV: token, how many of each, expected values, values."""

COMMIT = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'number') ~= ARGV[2] then
    return redis.error_reply('FALAJ_LOST')
end
redis.call('DEL', KEYS[2])
for i = 4, #ARGV, 2 do
    redis.call('RPUSH', KEYS[2], ARGV[i + 1])
    redis.call('HSET', KEYS[1], 'p' .. ARGV[i], ARGV[3])
end
redis.call('HSET', KEYS[1], 'number', ARGV[3])
return 'OK'
"""
"""KEYS: control, redo. ARGV: token, the last batch's number, this one's; per piece its partition and its bytes."""

APPLY = """
local at = redis.call('GET', KEYS[1])
if at == ARGV[2] then return 'OK' end
if at ~= ARGV[1] then return redis.error_reply('FALAJ_GONE') end
local deletes, puts = tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 1, deletes do redis.call('UNLINK', KEYS[1 + i]) end
for i = 1, puts do redis.call('SET', KEYS[1 + deletes + i], ARGV[4 + i]) end
redis.call('SET', KEYS[1], ARGV[2])
return 'OK'
"""
"""KEYS: marker, deleted and put keys. ARGV: the marker before and after, how many deleted and put, values."""

MARK = "return redis.call('SET', KEYS[1], ARGV[1])"
"""KEYS: marker. ARGV: its first value."""

PIECES = "return redis.call('LRANGE', KEYS[1], 0, -1)"
"""KEYS: redo. Returns the pieces of the last batch."""
