-- Sends one body, which is no text, again and again; prints one JSON object at the end.
-- BODY: the file; JSON_BYTES: how many of its bytes are the head; PATH_: the path; TOKEN: sent as a bearer token.
function init(args)
   local file = io.open(os.getenv("BODY"), "rb")
   wrk.method, wrk.path, wrk.body = "POST", os.getenv("PATH_"), file:read("*a")
   wrk.headers["content-type"] = "application/octet-stream"
   wrk.headers["inference-header-content-length"] = os.getenv("JSON_BYTES")
   wrk.headers["authorization"] = "Bearer " .. os.getenv("TOKEN")
   file:close()
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"refused":%d,"broken":%d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
