-- Nine reads of a product, then one hold of it. Arguments: the product.

local read, hold, at = nil, nil, 0

function init(args)
   wrk.headers["Content-Type"] = "application/json"
   hold = wrk.format("POST", "/api/holds", nil, '{"product_id":' .. args[1] .. ',"qty":1}')
   read = wrk.format("GET", "/api/products/" .. args[1])
end

function request()
   at = (at + 1) % 10
   if at == 0 then return hold end
   return read
end
