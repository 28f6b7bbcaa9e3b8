-- Reads of one product. Arguments: the product.

function init(args)
   wrk.path = "/api/products/" .. args[1]
end
