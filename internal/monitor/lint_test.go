package monitor

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// TestLint: Prometheus's linter accepts the metrics.
func TestLint(t *testing.T) {
	s, store := subject(t)
	fill(t, store)
	page := ask(New(s), "/metrics", "")
	problems, err := promlint.New(page.Body).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
