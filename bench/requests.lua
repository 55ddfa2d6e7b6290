-- Sends the request bodies of a file in turn; prints one JSON object at the end.
-- BODIES: file with one body a line; PATH_: the path; TOKEN: sent as a bearer token.
local requests, at = {}, 0

function init(args)
   local headers = { ["content-type"] = "application/json", ["authorization"] = "Bearer " .. os.getenv("TOKEN") }
   for body in io.lines(os.getenv("BODIES")) do
      requests[#requests + 1] = wrk.format("POST", os.getenv("PATH_"), headers, body)
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"refused":%d,"broken":%d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
