-- Holds of one unit of one product. Arguments: the product.

function init(args)
   wrk.method = "POST"
   wrk.path = "/api/holds"
   wrk.headers["Content-Type"] = "application/json"
   wrk.body = '{"product_id":' .. args[1] .. ',"qty":1}'
end
