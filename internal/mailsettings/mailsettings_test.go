package mailsettings

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"authferry/internal/protocol"
	"authferry/proxy"
)

// everyService is a configuration with one of each.
var everyService = []Service{
	{Protocol: "imap", Host: "127.0.0.1", Port: 1143, Security: proxy.Plain},
	{Protocol: "smtp", Host: "127.0.0.1", Port: 1587, Security: proxy.Plain},
	{Protocol: "imap", Host: "mail.example.com", Port: 2993, Security: proxy.Implicit, Reserved: true},
	{Protocol: "imap", Host: "mail.example.com", Port: 143, Security: proxy.StartTLS},
	{Protocol: "imap", Host: "mail.example.com", Port: 993, Security: proxy.Implicit},
	{Protocol: "pop3", Host: "mail.example.com", Port: 995, Security: proxy.Either},
	{Protocol: "smtp", Host: "192.0.2.1", Port: 2525, Security: proxy.Plain},
	{Protocol: "smtp", Host: "mail.example.com", Port: 587, Security: proxy.StartTLS},
	{Protocol: "smtp", Host: "mail.example.com", Port: 465, Security: proxy.Implicit},
}

// handler returns a handler with nothing but the responder.
func handler(r *Responder) http.Handler {
	mux := http.NewServeMux()
	r.Mount(mux)
	return mux
}

func mailSettings(services []Service) *Responder {
	return &Responder{
		Services: func() []Service { return services },
		Domains: func(context.Context) (map[string]bool, error) {
			return map[string]bool{"example.com": true, "xn--mnchen-3ya.de": true, "münchen.de": true}, nil
		},
		Log: zap.NewNop(),
	}
}

// askSettings asks as a program elsewhere does.
func askSettings(s *Responder, method, address, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, address, strings.NewReader(body))
	w := httptest.NewRecorder()
	handler(s).ServeHTTP(w, r)
	return w
}

const autoconfigPath = "/mail/config-v1.1.xml?emailaddress="

// readByThunderbird reads a file as comm-central's readFromXML.sys.mjs does: what
// it refuses is an error here. A server is "type host port socketType".
func readByThunderbird(content []byte) (servers []string, err error) {
	var c clientConfig
	if err := xml.Unmarshal(content, &c); err != nil {
		return nil, err
	}
	host := regexp.MustCompile(`^[a-z0-9.-]+$|^[0-9a-f:]+$`)
	switch p := c.Provider; {
	case c.Version != "1.1":
		return nil, fmt.Errorf("version %q", c.Version)
	case !host.MatchString(p.ID), !host.MatchString(p.Domain):
		return nil, fmt.Errorf("id %q, domain %q", p.ID, p.Domain)
	case p.Name == "":
		return nil, errors.New("no displayName")
	case len(p.Incoming) == 0:
		return nil, errors.New("no incomingServer")
	}
	for i, s := range slices.Concat(c.Provider.Incoming, c.Provider.Outgoing) {
		types := []string{"imap", "pop3"}
		if i >= len(c.Provider.Incoming) {
			types = []string{"smtp"}
		}
		switch {
		case !slices.Contains(types, s.Type):
			return nil, fmt.Errorf("type %q", s.Type)
		case !host.MatchString(s.Hostname):
			return nil, fmt.Errorf("hostname %q", s.Hostname)
		case s.Port < 1 || s.Port > 65535:
			return nil, fmt.Errorf("port %d", s.Port)
		case !slices.Contains([]string{"plain", "SSL", "STARTTLS"}, s.SocketType):
			return nil, fmt.Errorf("socketType %q", s.SocketType)
		case s.Username != "%EMAILADDRESS%", s.Authentication != "password-cleartext":
			return nil, fmt.Errorf("username %q, authentication %q", s.Username, s.Authentication)
		}
		servers = append(servers, fmt.Sprintf("%s %s %d %s", s.Type, s.Hostname, s.Port, s.SocketType))
	}
	return servers, nil
}

// TestAutoconfig: the answer to Thunderbird has no service on loopback, none for some
// programs only, and none without TLS if there is one with it.
func TestAutoconfig(t *testing.T) {
	want := []string{
		"imap mail.example.com 993 SSL", "imap mail.example.com 143 STARTTLS", "pop3 mail.example.com 995 SSL",
		"smtp mail.example.com 465 SSL", "smtp mail.example.com 587 STARTTLS",
	}
	s := mailSettings(everyService)
	for _, address := range []string{
		autoconfigPath + "you@example.com", autoconfigPath + "Nobody%40EXAMPLE.com.",
		"/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=you@example.com",
		"http://autoconfig.example.com/mail/config-v1.1.xml",
		"http://Example.com:8080/.well-known/autoconfig/mail/config-v1.1.xml",
	} {
		w := askSettings(s, "GET", address, "")
		got, err := readByThunderbird(w.Body.Bytes())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %d: %v, %v", address, w.Code, err, got)
		}
	}
	w := askSettings(s, "GET", autoconfigPath+"x@m%C3%BCnchen.de", "")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "<domain>münchen.de</domain>") {
		t.Errorf("an international domain: %d %s", w.Code, w.Body)
	}
}

// TestAutoconfigOrder: the elements are in the order of the documented examples.
func TestAutoconfigOrder(t *testing.T) {
	content, err := Autoconfig("example.com", everyService[4:5], false)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for decoder := xml.NewDecoder(strings.NewReader(string(content))); ; {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok {
			names = append(names, start.Name.Local)
		}
	}
	want := "clientConfig emailProvider domain displayName displayShortName incomingServer hostname port socketType username authentication"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s\ninstead of\n%s", got, want)
	}
}

// TestOnThisMachine: services on loopback are named to a program on this machine that
// asks for this machine, and only if there are no others.
func TestOnThisMachine(t *testing.T) {
	for _, c := range []struct {
		host, from string
		services   []Service
		want       string // the first; "" is no answer
	}{
		{"127.0.0.1:8026", "127.0.0.1:50000", everyService[:2], "imap 127.0.0.1 1143 plain"},
		{"localhost", "[::1]:50000", everyService[:2], "imap 127.0.0.1 1143 plain"},
		{"localhost", "[::1]:50000", everyService, "imap mail.example.com 993 SSL"},
		{"example.com", "127.0.0.1:50000", everyService[:2], ""},
		{"127.0.0.1", "192.0.2.7:50000", everyService[:2], ""},
		{"127.0.0.1", "192.0.2.7:50000", everyService, "imap mail.example.com 993 SSL"},
	} {
		r := httptest.NewRequest("GET", autoconfigPath+"you@example.com", nil)
		r.Host, r.RemoteAddr = c.host, c.from
		w := httptest.NewRecorder()
		handler(mailSettings(c.services)).ServeHTTP(w, r)
		got, err := readByThunderbird(w.Body.Bytes())
		if c.want == "" && w.Code != http.StatusNotFound || c.want != "" && (err != nil || got[0] != c.want) {
			t.Errorf("%s from %s: %d %v, %v", c.host, c.from, w.Code, got, err)
		}
	}
}

// TestNothingTold: no answer reveals whether a mailbox exists.
func TestNothingTold(t *testing.T) {
	s := mailSettings(everyService)
	ask := map[string]func(address string) *httptest.ResponseRecorder{
		"autoconfig": func(a string) *httptest.ResponseRecorder { return askSettings(s, "GET", autoconfigPath+a, "") },
		"autodiscover": func(a string) *httptest.ResponseRecorder {
			return askSettings(s, "POST", discoverPath, discoverBody(a))
		},
		"profile": func(a string) *httptest.ResponseRecorder {
			return askSettings(s, "GET", "/email.mobileconfig?email="+a, "")
		},
	}
	id := regexp.MustCompile(`[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}`)
	for name, ask := range ask {
		answer := func(address string) string {
			w := ask(address)
			return fmt.Sprint(w.Code, w.Header(), id.ReplaceAllString(strings.ReplaceAll(w.Body.String(), address, "ADDRESS"), "ID"))
		}
		if a, b := answer("you@example.com"), answer("nobody@example.com"); a != b || !strings.HasPrefix(a, "200 ") {
			t.Errorf("%s: %s\n%s", name, a, b)
		}
		refused := answer("you@example.org")
		if !strings.HasPrefix(refused, "404 ") || strings.Contains(refused, "example.org") {
			t.Errorf("%s: %s", name, refused)
		}
		s.Domains = func(context.Context) (map[string]bool, error) { return nil, errors.New("no disk") }
		if w := ask("you@example.com"); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "disk") {
			t.Errorf("%s with a store that fails: %d %s", name, w.Code, w.Body)
		}
		s.Domains = mailSettings(nil).Domains
	}
	for _, address := range []string{"", "you", "@example.com", "you@", "you@example.com\x00", `a"b@example.com`, "<x>@example.com", "a b@example.com", "\xff@example.com", strings.Repeat("x", 400) + "@example.com"} {
		if d := domainOf(address); d != "" {
			t.Errorf("%q is an address of %s", address, d)
		}
	}
}

// TestReachable: the best service comes first, and loopback never with others.
func TestReachable(t *testing.T) {
	ports := func(list []Service) (ports []int) {
		for _, s := range list {
			ports = append(ports, s.Port)
		}
		return ports
	}
	for _, c := range []struct {
		protocol protocol.Protocol
		reach    reach
		want     []int
	}{
		{"imap", elsewhere, []int{993, 143, 2993}},
		{"imap", anywhere, []int{993, 143, 2993}},
		{"imap", here, []int{1143}},
		{"pop3", here, []int{995}},
		{"smtp", elsewhere, []int{465, 587, 2525}},
	} {
		if got := ports(reachable(everyService, c.protocol, c.reach)); !slices.Equal(got, c.want) {
			t.Errorf("%s %d: %v", c.protocol, c.reach, got)
		}
	}
	if got := ports(reachable(everyService[:2], "imap", anywhere)); !slices.Equal(got, []int{1143}) {
		t.Errorf("%v", got)
	}
}
