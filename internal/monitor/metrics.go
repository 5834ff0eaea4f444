package monitor

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"authferry/proxy"
	"authferry/tokens/store"
)

// family describes a metric. docs/metrics.md has the same help text.
type family struct {
	name, help string
	kind       prometheus.ValueType
	histogram  bool
	labels     []string
	desc       *prometheus.Desc
}

func newFamily(kind prometheus.ValueType, name, help string, labels ...string) *family {
	name = "authferry_" + name
	return &family{name: name, help: help, kind: kind, labels: labels, desc: prometheus.NewDesc(name, help, labels, nil)}
}

func newHistogram(name, help string, labels ...string) *family {
	f := newFamily(prometheus.UntypedValue, name, help, labels...)
	f.histogram = true
	return f
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// The metrics. Their names, labels and label values are a contract: people's
// dashboards and rules use them.
var (
	buildInfo = newFamily(gauge, "build_info", "Always 1; the labels say which build runs.", "version", "revision", "goversion")
	ready     = newFamily(gauge, "ready", "1 if /readyz says so, 0 if not.")

	openConnections    = newFamily(gauge, "open_connections", "Connections of mail programs, logged in or not.", "protocol")
	connections        = newFamily(counter, "connections_total", "Connections of mail programs that were accepted.", "protocol")
	connectionsRefused = newFamily(counter, "connections_refused_total", "Connections that were closed before anything was read: by the gate, or by a listener's allow.")
	sessions           = newFamily(gauge, "sessions", "Sessions that are logged in.", "protocol")
	logins             = newFamily(counter, "logins_total", "Logins by result.", "protocol", "result")
	loginDuration      = newHistogram("login_duration_seconds", "How long mail programs waited for logins that succeeded.", "protocol")
	bytes              = newFamily(counter, "bytes_total", "Bytes carried after logins.", "protocol", "direction")

	refreshes        = newFamily(counter, "refreshes_total", "Calls of token endpoints that ended, by result.", "provider", "result")
	grants           = newFamily(gauge, "grants", "Mailboxes by the state of their grant.", "state")
	alerts           = newFamily(counter, "alerts_total", "Messages given to the hooks of [alert], or not, by hook and result.", "hook", "result")
	nextPerson       = newFamily(gauge, "person_needed_timestamp_seconds", "When the first of all mailboxes needs a person, as far as can be foreseen; past: now.")
	grantNeedsPerson = newFamily(gauge, "grant_needs_person_timestamp_seconds", "When a mailbox needs a person, as far as can be foreseen; past: now.", "mailbox", "provider")
)

var families = []*family{
	buildInfo, ready, openConnections, connections, connectionsRefused, sessions, logins, loginDuration, bytes,
	refreshes, alerts, grants, nextPerson, grantNeedsPerson,
}

// registry holds the metrics of a subject, the process and the Go runtime.
func registry(s Subject, q *question) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(),
		&collector{s, q},
	)
	return r
}

// collector reads a subject when metrics are requested.
type collector struct {
	Subject
	ready *question
}

func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, f := range families {
		to <- f.desc
	}
}

func (c *collector) Collect(to chan<- prometheus.Metric) {
	emit := func(f *family, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTime)
	defer cancel()
	emit(buildInfo, 1, c.Version, c.Revision, runtime.Version())
	isReady := 0.0
	if len(c.ready.answer(ctx)) == 0 {
		isReady = 1
	}
	emit(ready, isReady)
	c.collectProxy(emit, to)
	for _, r := range c.Vault.Refreshes() {
		emit(refreshes, float64(r.Count), r.Provider, r.Result)
	}
	told := c.Alerts.Snapshot()
	for hook, n := range told.Sent {
		emit(alerts, float64(n), hook, "ok")
	}
	for hook, n := range told.Failed {
		emit(alerts, float64(n), hook, "failed")
	}
	c.collectGrants(ctx, emit)
}

// collectTime bounds the reading of the mailboxes. Prometheus waits ten seconds by
// default.
const collectTime = 8 * time.Second

type emitter func(f *family, value float64, labels ...string)

func (c *collector) collectProxy(emit emitter, to chan<- prometheus.Metric) {
	snapshot := c.Proxy.Snapshot()
	emit(connectionsRefused, float64(snapshot.TurnedAway))
	for name, p := range snapshot.Protocols {
		protocol := string(name)
		emit(openConnections, float64(p.Open), protocol)
		emit(connections, float64(p.Connections), protocol)
		emit(sessions, float64(p.Sessions), protocol)
		emit(logins, float64(p.Logins), protocol, "ok")
		for row, n := range p.Refused {
			emit(logins, float64(n), protocol, labelOf(row))
		}
		emit(bytes, float64(p.Sent), protocol, "to_provider")
		emit(bytes, float64(p.Received), protocol, "to_client")
		to <- durations(p.LoginTimes, protocol)
	}
}

// labelOf returns the label of a row of the table of refusals: needs_tls for "needs
// TLS".
func labelOf(row string) string { return strings.ReplaceAll(strings.ToLower(row), " ", "_") }

func durations(h proxy.Histogram, protocol string) prometheus.Metric {
	buckets, count := map[float64]uint64{}, uint64(0)
	for i, n := range h.Buckets {
		count += uint64(n)
		if i < len(proxy.LoginBounds) {
			buckets[proxy.LoginBounds[i].Seconds()] = count
		}
	}
	return prometheus.MustNewConstHistogram(loginDuration.desc, count, h.Sum.Seconds(), buckets, protocol)
}

// unreadable is the state of a mailbox whose file cannot be read.
const unreadable = "unreadable"

var states = []store.State{
	store.StateFresh, store.StateStale, store.StateRefreshing, store.StateUnreachable,
	store.StateNeedsConsent, store.StateDisconnected, unreadable,
}

// collectGrants emits the states of the mailboxes. If they cannot be listed it emits
// nothing, since zeros would say that there are none; [ready] says what is wrong.
func (c *collector) collectGrants(ctx context.Context, emit emitter) {
	mailboxes, err := c.Vault.Mailboxes(ctx)
	if err != nil {
		return
	}
	count := map[store.State]int{}
	var first time.Time
	for _, mailbox := range mailboxes {
		a, err := c.Vault.Account(ctx, mailbox)
		if errors.Is(err, store.ErrNoMailbox) {
			continue // removed meanwhile
		}
		if err != nil {
			count[unreadable]++
			continue
		}
		count[c.Vault.State(a)]++
		at, _ := c.Vault.NeedsPerson(a)
		if at.IsZero() {
			continue
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if c.NameMailboxes() {
			emit(grantNeedsPerson, float64(at.Unix()), strings.ToValidUTF8(mailbox, "?"), a.Provider)
		}
	}
	for _, state := range states {
		emit(grants, float64(count[state]), string(state))
	}
	if !first.IsZero() {
		emit(nextPerson, float64(first.Unix()))
	}
}
