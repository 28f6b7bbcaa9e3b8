//! What seeing costs: the rate of holds with a collector that does not behave, against the rate without one.
