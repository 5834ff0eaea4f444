package main

import (
	"time"

	"authferry/proxy"
)

// readGate reads who may connect, how many, and how often they may fail.
func readGate(t *table) proxy.GateLimits {
	g := proxy.GateLimits{
		Connections:           orNone(t.count("connections", 10_000, 0, 1<<30)),
		ConnectionsPerAddress: orNone(t.count("connections_per_address", 500, 0, 1<<30)),
		Failures:              orNone(t.count("failures", 10, 0, 1<<30)),
		Window:                t.duration("window", 10*time.Minute),
		Delay:                 t.duration("delay", time.Second),
	}
	for i, text := range t.texts("allow") {
		prefix, err := parseNetwork(text)
		if err != nil {
			t.complainAt("allow", i, err.Error(), `such as "192.0.2.0/24" or "2001:db8::1"`)
			continue
		}
		g.Allow = append(g.Allow, prefix)
	}
	t.done()
	return g
}

// orNone is what proxy takes for "no limit", which the file says as 0.
func orNone(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// readLimits reads how long each part of a connection may take.
func readLimits(t *table) proxy.Limits {
	l := proxy.Limits{
		Login:         t.duration("login", 3*time.Minute),
		Command:       t.duration("command", time.Minute),
		ProviderLogin: t.duration("provider_login", 30*time.Second),
		Stall:         t.duration("stall", 10*time.Minute),
		Hello:         t.duration("hello", 500*time.Millisecond),
		Sweep:         t.duration("sweep", 5*time.Second),
	}
	t.done()
	return l
}
