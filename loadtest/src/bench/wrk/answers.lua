-- What every load reports at its end: one line of JSON on standard output.

local thread_count = 0

function setup(thread)
   thread:set("thread_number", thread_count)
   thread_count = thread_count + 1
end

function done(summary, latency, requests)
   io.write(string.format(
      '\n{"requests":%d,"microseconds":%d,"p50":%d,"p90":%d,"p99":%d,"most":%d,' ..
      '"failed":{"connect":%d,"read":%d,"write":%d,"timeout":%d},"refused":%d}\n',
      summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
      summary.errors.connect, summary.errors.read, summary.errors.write, summary.errors.timeout,
      summary.errors.status))
end
