package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"authferry/internal/testtls"
)

// The benchmarks measure the proxy as a process of its own; docs/performance.md
// says how to run them and has the results. One iteration is enough:
//
//	go test -run '^$' -bench . -benchtime 1x -count 5 ./proxy
//
// With AUTHFERRY_BENCH_HAPROXY=/usr/sbin/haproxy each is run for HAProxy too.

const (
	benchBytes  = 1 << 30
	benchLogins = 500
	benchIdle   = 2000
	benchNoops  = 5000
	// settle is how long idle sessions are left alone before memory is read.
	settle = 25 * time.Second
)

// serveLoad is the provider after login: GET n, PUT n, NOOP.
func serveLoad(c net.Conn, r *bufio.Reader) {
	chunk := make([]byte, 64<<10)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		var verb string
		var n int64
		fmt.Sscan(line, &verb, &n)
		switch verb {
		case "GET":
			for ; n > 0; n -= int64(len(chunk)) {
				if _, err := c.Write(chunk[:min(n, int64(len(chunk)))]); err != nil {
					return
				}
			}
			continue
		case "PUT":
			if _, err := io.CopyN(io.Discard, struct{ io.Reader }{r}, n); err != nil {
				return
			}
		}
		if _, err := io.WriteString(c, "ok\r\n"); err != nil {
			return
		}
	}
}

// beside runs a benchmark for authferry and, if asked to, for HAProxy, each with
// plain text and with TLS towards the client.
func beside(b *testing.B, run func(b *testing.B, p *proxyProcess, security Security)) {
	starts := []struct {
		name  string
		start func(*testing.B, *fakeProvider) *proxyProcess
	}{{"authferry", startChild}, {"haproxy", startHAProxy}}
	if os.Getenv(besideEnv) == "" {
		starts = starts[:1]
	}
	for _, s := range starts {
		for _, leg := range []string{"plain", "tls"} {
			b.Run(s.name+"/"+leg, func(b *testing.B) {
				provider := startProvider(b, &fakeProvider{protocol: "imap", after: serveLoad})
				run(b, s.start(b, provider), everySecurity[leg])
			})
		}
	}
}

func mustConnect(b *testing.B, p *proxyProcess, security Security) *mail {
	b.Helper()
	m, err := p.connect(security)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.Close() })
	return m
}

func BenchmarkDownload(b *testing.B) {
	beside(b, func(b *testing.B, p *proxyProcess, security Security) {
		m := mustConnect(b, p, security)
		m.download(b, 64<<20) // slow start, buffers
		before := p.cpu(b)
		for b.Loop() {
			m.download(b, benchBytes)
		}
		report(b, p.cpu(b)-before, benchBytes/1e9, "cpu-s/GB")
	})
}

func BenchmarkUpload(b *testing.B) {
	beside(b, func(b *testing.B, p *proxyProcess, security Security) {
		m := mustConnect(b, p, security)
		chunk := make([]byte, 64<<10)
		put := func(n int64) {
			fmt.Fprintf(m, "PUT %d\r\n", n)
			for ; n > 0; n -= int64(len(chunk)) {
				if _, err := m.Write(chunk); err != nil {
					b.Fatal(err)
				}
			}
			if line, err := m.r.ReadString('\n'); err != nil || line != "ok\r\n" {
				b.Fatal(line, err)
			}
		}
		put(64 << 20)
		before := p.cpu(b)
		for b.Loop() {
			put(benchBytes)
		}
		report(b, p.cpu(b)-before, benchBytes/1e9, "cpu-s/GB")
	})
}

func BenchmarkLogin(b *testing.B) {
	beside(b, func(b *testing.B, p *proxyProcess, security Security) {
		login := func() {
			m, err := p.connect(security)
			if err != nil {
				b.Fatal(err)
			}
			m.Close()
		}
		for range 50 {
			login()
		}
		before := p.cpu(b)
		for b.Loop() {
			for range benchLogins {
				login()
			}
		}
		report(b, 1000*(p.cpu(b)-before), benchLogins, "cpu-ms/login")
	})
}

// BenchmarkIdle measures what an idle session costs: one that has only logged
// in, and one that has also read a megabyte of mail.
func BenchmarkIdle(b *testing.B) {
	for name, before := range map[string]int64{"login": 0, "mail": 1 << 20} {
		b.Run("after="+name, func(b *testing.B) {
			beside(b, func(b *testing.B, p *proxyProcess, security Security) {
				for b.Loop() {
					mustConnect(b, p, security).download(b, 1<<20)
					start := p.rss(b)
					for range benchIdle {
						mustConnect(b, p, security).download(b, before)
					}
					b.ReportMetric((p.rss(b)-start)/benchIdle, "rss-kB/session-at-once")
					time.Sleep(settle) // what is measured is what is left after a while
					b.ReportMetric((p.rss(b)-start)/benchIdle, "rss-kB/session")
				}
				b.ReportMetric(0, "ns/op")
			})
		})
	}
}

// download asks for n bytes and reads them.
func (m *mail) download(b *testing.B, n int64) {
	if n == 0 {
		return
	}
	sink := make([]byte, 256<<10)
	fmt.Fprintf(m, "GET %d\r\n", n)
	for n > 0 {
		k, err := m.Conn.Read(sink)
		if err != nil {
			b.Fatal(err)
		}
		n -= int64(k)
	}
}

func BenchmarkNoop(b *testing.B) {
	for _, idle := range []int{0, 1000} {
		b.Run(fmt.Sprintf("idle=%d", idle), func(b *testing.B) {
			beside(b, func(b *testing.B, p *proxyProcess, security Security) {
				for range idle {
					mustConnect(b, p, security)
				}
				through := mustConnect(b, p, security)
				for b.Loop() {
					b.ReportMetric(roundTrip(b, through)*1e6, "us-p50")
				}
				b.ReportMetric(0, "ns/op")
			})
		})
	}
	b.Run("direct", func(b *testing.B) {
		for _, leg := range []string{"tls"} {
			b.Run(leg, func(b *testing.B) {
				provider := startProvider(b, &fakeProvider{protocol: "imap", after: serveLoad})
				m, err := logIn(provider.Addr().String(), "imap", Implicit, testtls.ClientTLS(), "", "")
				if err != nil {
					b.Fatal(err)
				}
				defer m.Close()
				for b.Loop() {
					b.ReportMetric(roundTrip(b, m)*1e6, "us-p50")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	})
}

// roundTrip is the median time of a NOOP, in seconds.
func roundTrip(b *testing.B, m *mail) float64 {
	took := make([]time.Duration, benchNoops)
	for i := range took {
		start := time.Now()
		if _, err := io.WriteString(m, "NOOP\r\n"); err != nil {
			b.Fatal(err)
		}
		if line, err := m.r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "ok") {
			b.Fatal(line, err)
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2].Seconds()
}

func report(b *testing.B, cost, per float64, unit string) {
	b.ReportMetric(cost/per/float64(b.N), unit)
	b.ReportMetric(0, "ns/op")
}
