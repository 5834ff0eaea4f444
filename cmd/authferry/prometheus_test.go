//go:build prometheus

package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authferry/internal/testport"
)

// prom is a real Prometheus that scrapes a monitor.
type prom struct{ url string }

func startPrometheus(t *testing.T, monitor string) *prom {
	t.Helper()
	rules, err := filepath.Abs("../../packaging/monitoring/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: authferry
    static_configs: [{targets: [%q]}]
`, rules, monitor)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := testport.Free(t)
	said := newTranscript()
	cmd := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if _, err := said.find("Server is ready to receive web requests"); err != nil {
		t.Fatal(err)
	}
	return &prom{"http://" + address}
}

// get requests a page of its API.
func (p *prom) get(t *testing.T, path string, to any) {
	t.Helper()
	_, page, err := fetch(t.Context(), p.url+path)
	if err != nil {
		t.Fatal(err)
	}
	answer := struct {
		Status, Error string
		Data          any
	}{Data: to}
	if err := json.Unmarshal(page, &answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s: %v %s", path, err, answer.Error)
	}
}

// ask returns the values of an expression, by the labels of their series.
func (p *prom) ask(t *testing.T, expr string) map[string]string {
	t.Helper()
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	p.get(t, "/api/v1/query?query="+url.QueryEscape(expr), &data)
	values := map[string]string{}
	for _, r := range data.Result {
		delete(r.Metric, "__name__")
		values[fmt.Sprint(r.Metric)] = fmt.Sprint(r.Value[1])
	}
	return values
}

// TestPrometheus: a real Prometheus scrapes authferry while programs log in, has
// metrics of these logins, and evaluates every expression of the dashboard and every
// rule.
func TestPrometheus(t *testing.T) {
	s, _ := newShow(t)
	ways := *s.service.InForce()
	ways.Monitor = "127.0.0.1:0"
	if err := s.service.OpenMonitor(&ways); err != nil {
		t.Fatal(err)
	}
	s.expire(t)
	for _, protocol := range protocols {
		mustLogin(t, protocol, s.address(protocol), demoMailbox, s.password.Reveal())
		s.login(protocol, "wrong-password")
	}
	monitor := s.service.Monitored.Addr().String()
	p := startPrometheus(t, monitor)
	late := time.After(patience)
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		// Twice, so that there are rates.
		if got := p.ask(t, `count_over_time(up{job="authferry"}[1m]) > 1`); len(got) == 1 {
			break
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("nothing was scraped")
		}
	}
	for expr, want := range map[string]string{
		`up{job="authferry"}`:                                    "1",
		`authferry_ready`:                                        "1",
		`sum(authferry_logins_total{result="ok"})`:               "3",
		`sum(authferry_logins_total{result="bad_login"})`:        "3",
		`sum(authferry_refreshes_total{provider="gmail"})`:       "1",
		`sum(authferry_login_duration_seconds_count)`:            "3",
		`authferry_grants{state="fresh"}`:                        "1",
		`count(process_open_fds{job="authferry"})`:               "1",
		`count({job="authferry", __name__=~"authferry_.*"}) > 1`: "",
	} {
		got := p.ask(t, expr)
		for _, v := range got {
			if want != "" && v != want {
				t.Errorf("%s is %s, want %s", expr, v, want)
			}
		}
		if len(got) != 1 {
			t.Errorf("%s: %v", expr, got)
		}
	}
	p.checkDashboard(t, monitor)
	p.checkRules(t)
}

// checkDashboard evaluates each expression of the dashboard.
func (p *prom) checkDashboard(t *testing.T, monitor string) {
	t.Helper()
	source, err := os.ReadFile("../../packaging/monitoring/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(source, &d); err != nil {
		t.Fatal(err)
	}
	set := strings.NewReplacer("$__rate_interval", "1m", "$job", "authferry", "$instance", monitor)
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			got := p.ask(t, set.Replace(target.Expr))
			// No mailbox is expected to need a person.
			if len(got) == 0 && !strings.Contains(target.Expr, "_timestamp_seconds") {
				t.Errorf("%s shows nothing: %s", panel.Title, target.Expr)
			}
		}
	}
}

// checkRules waits until every rule has been evaluated, and none failed or fires.
func (p *prom) checkRules(t *testing.T) {
	t.Helper()
	late := time.After(patience)
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError, State string }
			}
		}
		p.get(t, "/api/v1/rules", &data)
		waiting := len(data.Groups) == 0
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				waiting = waiting || r.Health == "unknown"
				if r.Health == "err" || r.State == "firing" {
					t.Errorf("%s: %s %s %s", r.Name, r.Health, r.State, r.LastError)
				}
			}
		}
		if !waiting {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the rules are not evaluated")
		}
	}
}
