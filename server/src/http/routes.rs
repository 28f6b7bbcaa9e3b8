//! The route table: one row a route, with its methods, their handlers, and who may call them.
//!
//! What does not belong here: what a handler does, and what an answer looks like.

use std::pin::Pin;

use http::Method;

use super::access::Access;
use super::answer::Answer;
use super::errors::Problem;
use super::request::{Call, path_id};
use super::{docs, holds, openapi, operators, ops, orders, products, webhook};

/// What a handler returns once it is called.
pub(super) type Handling = Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// Serves one method of one route.
pub(super) type Handler = fn(Box<Call>) -> Handling;

/// Which socket a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// The one of the API.
    Api,
    /// The one of metrics and health checks, where they have one.
    Ops,
}

/// One row of the table.
pub(super) struct Route {
    /// The path, with `{id}` for an id and `{*rest}` for any rest.
    pub(super) template: &'static str,
    /// What can be done there. GET includes HEAD.
    pub(super) operations: &'static [Operation],
    /// Whether its requests are traced whatever the sampler says.
    pub(super) always_traced: bool,
    /// Whether its requests are counted against the quotas of clients.
    pub(super) is_metered: bool,
    /// Whether it moves to the ops listener, where there is one.
    moves_to_ops: bool,
}

/// One method of one route.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) access: Access,
    /// The status of its success.
    pub(super) success: u16,
    pub(super) handler: Handler,
}

macro_rules! operation {
    ($method:ident, $access:ident, $success:literal, $handler:path) => {
        Operation {
            method: Method::$method,
            access: Access::$access,
            success: $success,
            handler: |call| Box::pin($handler(call)),
        }
    };
}

const fn api(template: &'static str, operations: &'static [Operation]) -> Route {
    Route { template, operations, always_traced: false, is_metered: true, moves_to_ops: false }
}

/// Of money: what became of each request must be found again, and none is refused for what shoppers do.
const fn money(template: &'static str, operations: &'static [Operation]) -> Route {
    Route { template, operations, always_traced: true, is_metered: false, moves_to_ops: false }
}

/// What tells whether clients are served must not depend on how often they call.
const fn ops(template: &'static str, operations: &'static [Operation]) -> Route {
    Route { template, operations, always_traced: false, is_metered: false, moves_to_ops: true }
}

/// Every route there is.
pub(super) const ROUTES: &[Route] = &[
    api(
        "/api/products",
        &[operation!(GET, Storefront, 200, products::list), operation!(POST, Operators, 201, operators::add_product)],
    ),
    api("/api/products/{id}", &[operation!(GET, Storefront, 200, products::show)]),
    api("/api/products/{id}/restock", &[operation!(POST, Operators, 200, operators::restock)]),
    api("/api/products/{id}/suspend", &[operation!(POST, Operators, 200, operators::suspend)]),
    api("/api/products/{id}/resume", &[operation!(POST, Operators, 200, operators::resume)]),
    api("/api/holds", &[operation!(POST, Storefront, 201, holds::place)]),
    api(
        "/api/holds/{id}",
        &[operation!(GET, Storefront, 200, holds::show), operation!(DELETE, Storefront, 204, holds::give_back)],
    ),
    api("/api/orders", &[operation!(POST, Storefront, 201, orders::place)]),
    api("/api/orders/{id}", &[operation!(GET, Storefront, 200, orders::show)]),
    money("/api/payments/webhook", &[operation!(POST, Anyone, 200, webhook::take)]),
    api("/api/limits", &[operation!(GET, Storefront, 200, products::limits)]),
    api("/openapi.json", &[operation!(GET, Anyone, 200, openapi::show)]),
    api("/docs", &[operation!(GET, Anyone, 200, docs::page)]),
    api("/docs/{*rest}", &[operation!(GET, Anyone, 200, docs::file)]),
    ops("/metrics", &[operation!(GET, Metrics, 200, ops::metrics)]),
    ops("/healthz", &[operation!(GET, Anyone, 200, ops::healthz)]),
    ops("/readyz", &[operation!(GET, Anyone, 200, ops::readyz)]),
];

/// Counted as the route of a path that has none: its position, after those of the table, and its name.
pub(super) const UNMATCHED: (usize, &str) = (ROUTES.len(), "unmatched");

/// The table, ready to be searched.
pub(super) struct Routes {
    /// Positions in [`ROUTES`].
    router: matchit::Router<usize>,
    has_ops_listener: bool,
    has_operators: bool,
}

/// The route of a request, and what its path says.
pub(super) struct Found {
    pub(super) route: &'static Route,
    /// Its position in [`ROUTES`].
    pub(super) route_index: usize,
    pub(super) path_id: u64,
    pub(super) path_rest: String,
}

impl Routes {
    /// # Errors
    /// If two rows of the table contradict each other.
    pub(super) fn new(has_ops_listener: bool, has_operators: bool) -> Result<Self, matchit::InsertError> {
        let mut router = matchit::Router::new();
        for (index, route) in ROUTES.iter().enumerate() {
            router.insert(route.template, index)?;
        }
        Ok(Self { router, has_ops_listener, has_operators })
    }

    /// The template of every route, and, last, what stands for no route.
    pub(super) fn templates() -> Vec<&'static str> {
        ROUTES.iter().map(|route| route.template).chain([UNMATCHED.1]).collect()
    }

    /// Every operation that this server has, with its route and the position of that.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &'static Route, &'static Operation)> {
        let routes = ROUTES.iter().enumerate();
        routes.flat_map(|(index, route)| self.operations(route).map(move |operation| (index, route, operation)))
    }

    /// The route of a path, if there is one on this listener.
    pub(super) fn find(&self, listener: Listener, path: &str) -> Option<Found> {
        // A page is often typed with a slash at its end.
        let path = if path == "/docs/" { "/docs" } else { path };
        let found = self.router.at(path).ok()?;
        let route_index = *found.value;
        let route = ROUTES.get(route_index)?;
        let here = match listener {
            Listener::Api => !(route.moves_to_ops && self.has_ops_listener),
            Listener::Ops => route.moves_to_ops,
        };
        // What only operators can do does not exist where there are none.
        if !here || self.operations(route).next().is_none() {
            return None;
        }
        let path_id = match found.params.get("id") {
            Some(text) => path_id(text)?,
            None => 0,
        };
        Some(Found { route, route_index, path_id, path_rest: found.params.get("rest").unwrap_or_default().to_owned() })
    }

    /// What a method does on a route.
    pub(super) fn operation(&self, route: &'static Route, method: &Method) -> Result<&'static Operation, Problem> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        if let Some(operation) = self.operations(route).find(|operation| operation.method == *method) {
            return Ok(operation);
        }
        // A method that exists for operators only is no secret, but there is nothing there either.
        if route.operations.iter().any(|operation| operation.method == *method) {
            return Err(Problem::NotFound);
        }
        Err(Problem::MethodNotAllowed { allow: self.allow(route) })
    }

    fn operations(&self, route: &'static Route) -> impl Iterator<Item = &'static Operation> + use<> {
        let has_operators = self.has_operators;
        route.operations.iter().filter(move |operation| has_operators || operation.access != Access::Operators)
    }

    fn allow(&self, route: &'static Route) -> String {
        let mut methods: Vec<&str> = Vec::new();
        for operation in self.operations(route) {
            methods.push(operation.method.as_str());
            if operation.method == Method::GET {
                methods.push(Method::HEAD.as_str());
            }
        }
        methods.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(routes: &Routes, listener: Listener, path: &str) -> Option<&'static str> {
        routes.find(listener, path).map(|found| found.route.template)
    }

    #[test]
    fn a_path_finds_its_row() {
        let routes = Routes::new(false, true).expect("a consistent table");
        for (path, expected) in [
            ("/api/products", Some("/api/products")),
            ("/api/products/7", Some("/api/products/{id}")),
            ("/api/products/7/restock", Some("/api/products/{id}/restock")),
            ("/docs", Some("/docs")),
            ("/docs/", Some("/docs")),
            ("/docs/swagger-ui.css", Some("/docs/{*rest}")),
            ("/metrics", Some("/metrics")),
            ("/", None),
            ("/api/products/", None),
            ("/api/products/0", None),
            ("/api/products/x", None),
            ("/api/products/x/restock", None),
            ("/api//products", None),
            ("/API/products", None),
        ] {
            assert_eq!(template(&routes, Listener::Api, path), expected, "{path}");
        }
        assert_eq!(routes.find(Listener::Api, "/api/holds/12").map(|found| found.path_id), Some(12));
    }

    #[test]
    fn metrics_and_health_checks_move_to_their_own_listener() {
        let together = Routes::new(false, true).expect("a consistent table");
        let apart = Routes::new(true, true).expect("a consistent table");
        for path in ["/metrics", "/healthz", "/readyz"] {
            assert!(together.find(Listener::Api, path).is_some());
            assert!(apart.find(Listener::Api, path).is_none());
            assert!(apart.find(Listener::Ops, path).is_some());
        }
        assert!(apart.find(Listener::Api, "/api/limits").is_some());
        assert!(apart.find(Listener::Ops, "/api/limits").is_none());
    }

    #[test]
    fn a_method_that_is_not_there_names_those_that_are() {
        let with = Routes::new(false, true).expect("a consistent table");
        let without = Routes::new(false, false).expect("a consistent table");
        let refused = |routes: &Routes, path: &str, method: &Method| {
            let found = routes.find(Listener::Api, path)?;
            routes.operation(found.route, method).err()
        };
        let allow = |allow: &str| Some(Problem::MethodNotAllowed { allow: allow.to_owned() });
        assert_eq!(refused(&with, "/api/products", &Method::PUT), allow("GET, HEAD, POST"));
        assert_eq!(refused(&without, "/api/products", &Method::PUT), allow("GET, HEAD"));
        assert_eq!(refused(&with, "/api/holds/1", &Method::POST), allow("GET, HEAD, DELETE"));
        assert_eq!(refused(&with, "/api/products/1/restock", &Method::GET), allow("POST"));
        assert_eq!(refused(&without, "/api/products", &Method::POST), Some(Problem::NotFound));
        assert!(without.find(Listener::Api, "/api/products/1/restock").is_none());
        assert_eq!(refused(&with, "/api/limits", &Method::HEAD), None);
    }
}
