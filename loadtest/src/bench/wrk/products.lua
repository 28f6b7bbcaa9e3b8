-- Holds of one unit of many products. Arguments: the first product, how many there are, one after the other, the
-- exponent of Zipf's law (0: all alike), and what the choices are drawn from.

local choices, requests, at = {}, {}, 0
local CHOICES = 65536

function init(args)
   local first, count, exponent = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
   math.randomseed(tonumber(args[4]) + thread_number)
   wrk.headers["Content-Type"] = "application/json"
   for i = 1, count do
      requests[i] = wrk.format("POST", "/api/holds", nil, '{"product_id":' .. (first + i - 1) .. ',"qty":1}')
   end
   -- What is up to and including the product of each rank.
   local up_to, all = {}, 0
   for rank = 1, count do
      all = all + 1 / rank ^ exponent
      up_to[rank] = all
   end
   -- Drawn before the clock starts.
   for i = 0, CHOICES - 1 do
      local drawn = math.random() * all
      local low, high = 1, count
      while low < high do
         local middle = math.floor((low + high) / 2)
         if up_to[middle] < drawn then low = middle + 1 else high = middle end
      end
      choices[i] = low
   end
end

function request()
   at = (at + 1) % CHOICES
   return requests[choices[at]]
end
