-- Hold, order, and its webhook twice, over and over. Arguments: the product, and a name that no other run has.
--
-- wrk does not say which connection an answer came on, so a thread's connections share their work: whichever is
-- free sends the next step of whatever hold or order is waiting for it. The answer says what it is of.

local product, name, head
local holds, orders, again = {}, {}, {}
local event_count = 0

function init(args)
   product, name = args[1], args[2] .. "-" .. thread_number .. "-"
   wrk.headers["Content-Type"] = "application/json"
   head = wrk.format("POST", "/api/holds", nil, '{"product_id":' .. product .. ',"qty":1}')
end

function request()
   local delivery = table.remove(again)
   if delivery then return delivery end
   local order = table.remove(orders)
   if order then
      event_count = event_count + 1
      delivery = wrk.format("POST", "/api/payments/webhook", nil,
         '{"payment_idempotency_key":"' .. name .. event_count .. '","order_id":' .. order .. ',"status":"success"}')
      again[#again + 1] = delivery
      return delivery
   end
   local hold = table.remove(holds)
   if hold then return wrk.format("POST", "/api/orders", nil, '{"hold_id":' .. hold .. '}') end
   return head
end

function response(status, headers, body)
   if status ~= 201 then return end
   local hold = string.match(body, '^{"hold_id":(%d+)')
   if hold then
      holds[#holds + 1] = hold
      return
   end
   orders[#orders + 1] = string.match(body, '^{"data":{"id":(%d+)')
end
