package proxy

// Metrics are the counters of a running authferry.
type Metrics struct{}
