// Package monitoring tests the dashboard and the alert rules as far as goes
// without Prometheus; .ci/prometheus has them judged by it.
package monitoring

import (
	"encoding/json"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// metrics are the names that a scrape has: those of docs/metrics.md, which a
// test of package web holds to the code, and those of every Go program.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(authferry_[a-z_]+)` \\| (\\w+)").FindAllStringSubmatch(read(t, "../../docs/metrics.md"), -1) {
		names[row[1]] = true
		if row[2] == "histogram" {
			names[row[1]+"_bucket"], names[row[1]+"_count"], names[row[1]+"_sum"] = true, true, true
		}
	}
	if len(names) == 0 {
		t.Fatal("docs/metrics.md has no metrics")
	}
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		names[f.GetName()] = true
	}
	return names
}

var metricName = regexp.MustCompile(`\b(?:authferry|process|go)_[a-z_]+\b`)

func checkNames(t *testing.T, where, text string) {
	t.Helper()
	known, found := metrics(t), metricName.FindAllString(text, -1)
	if len(found) == 0 {
		t.Errorf("%s: no metric", where)
	}
	for _, name := range found {
		if strings.HasPrefix(name, "process_") && runtime.GOOS != "linux" {
			continue // other systems have fewer
		}
		if !known[name] {
			t.Errorf("%s: there is no metric %s", where, name)
		}
	}
}

func TestRules(t *testing.T) {
	rules := regexp.MustCompile(`(?m)^ *#.*$`).ReplaceAllString(read(t, "alerts.yml"), "")
	checkNames(t, "alerts.yml", rules)
	tests := read(t, "alerts_test.yml")
	checkNames(t, "alerts_test.yml", tests)
	for _, alert := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(rules, -1) {
		if !strings.Contains(tests, "alertname: "+alert[1]+"}") || !strings.Contains(tests, `alertname="`+alert[1]+`"`) {
			t.Errorf("%s is not tested, or only one way", alert[1])
		}
	}
}

func TestDashboard(t *testing.T) {
	var d struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Query string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana.json")), &d); err != nil {
		t.Fatal(err)
	}
	variables := map[string]bool{"__rate_interval": true} // Grafana's own
	for _, v := range d.Templating.List {
		variables[v.Name] = true
		if strings.HasPrefix(v.Query, "label_values(") {
			checkNames(t, "the variable "+v.Name, v.Query)
		}
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || len(p.Targets) == 0 {
			t.Errorf("%s: its id is another's, or it shows nothing", p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			checkNames(t, p.Title, target.Expr)
			for _, v := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				if !variables[v[1]] {
					t.Errorf("%s: there is no variable $%s", p.Title, v[1])
				}
			}
		}
	}
	if len(ids) == 0 {
		t.Error("no panel")
	}
}
