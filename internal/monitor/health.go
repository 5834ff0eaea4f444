package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/sync/singleflight"
)

// Health is the answer of /healthz and /readyz in JSON.
type Health struct {
	Status  string   `json:"status"`            // "ok" or "failing"
	Reasons []string `json:"reasons,omitempty"` // why it is failing, each a sentence with what it is about
}

// question is a question about health: is the server alive, or ready?
type question struct {
	ask     func(context.Context) []error
	flights singleflight.Group
}

// answer asks, or joins a request that is asking: the listeners and the store are
// tried once at a time, for any number of monitors.
func (q *question) answer(ctx context.Context) []string {
	// Other monitors may wait for the answer, so that it does not end with this
	// request. The question bounds itself.
	got, _, _ := q.flights.Do("", func() (any, error) {
		var reasons []string
		for _, err := range q.ask(context.WithoutCancel(ctx)) {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				reasons = append(reasons, line)
			}
		}
		return reasons, nil
	})
	return got.([]string)
}

func (q *question) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := Health{Status: "ok", Reasons: q.answer(r.Context())}
	code := http.StatusOK
	if len(h.Reasons) > 0 {
		h.Status, code = "failing", http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(h) // fails if the client has gone
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	if len(h.Reasons) == 0 {
		fmt.Fprintln(w, h.Status)
	}
	for _, reason := range h.Reasons {
		fmt.Fprintln(w, reason)
	}
}
