package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

const (
	// maxSkew is how wrong the clock may be. The Date of a response is exact to a
	// second; Google refuses assertions from clocks that are some minutes wrong.
	maxSkew = time.Minute
	// invalidToken is sent as a refresh token. An endpoint that calls it invalid has
	// authenticated the client first (RFC 6749 §3.2.1). It stands for no grant, so
	// none is affected.
	invalidToken = "authferry-check-this-is-no-token"
)

// providerCheck checks a provider's servers.
type providerCheck struct {
	run      *checkRun
	provider *oauth.Provider
}

// probes returns the checks of the servers, which are independent of each other.
func (p *providerCheck) probes() (probes []func(context.Context, *reporter)) {
	for _, proto := range protocol.All {
		if e := p.provider.Endpoint(proto); e.Host != "" {
			probes = append(probes, func(ctx context.Context, out *reporter) { p.mailServer(ctx, out, proto, e) })
		}
	}
	return append(probes, p.tokenEndpoint)
}

// mailServer checks the connection to a mail server.
func (p *providerCheck) mailServer(ctx context.Context, out *reporter, proto protocol.Protocol, e oauth.Endpoint) {
	type step struct {
		name string
		do   func() finding
	}
	host, port, via := firstHop(p.provider.Proxy, e.Host, e.Port)
	steps := []step{
		{string(proto) + " dns", func() finding { return byWayOf(via, resolve(ctx, p.run.subject.lookup, host)) }},
		{string(proto) + " tcp", func() finding { return byWayOf(via, connect(ctx, host, port)) }},
		{string(proto) + " tls", func() finding { return p.mailTLS(ctx, proto, e) }},
	}
	if proto == protocol.SMTP {
		steps = append(steps, step{"smtp extensions", func() finding { return p.extensions(ctx, e) }})
	}
	at := server{p.provider.Name, string(proto)}
	for _, s := range steps {
		if broken := p.run.failedAt(at); broken != "" {
			out.skip(ctx, "the step "+broken+" failed", s.name)
		} else if !out.step(ctx, s.name, s.do) && s.name != "smtp extensions" {
			p.run.setFailed(at, s.name)
		}
	}
}

// mailTLS checks TLS with a mail server, and who signed its certificate.
func (p *providerCheck) mailTLS(ctx context.Context, proto protocol.Protocol, e oauth.Endpoint) finding {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	conn, err := openMail(ctx, p.provider, proto, e)
	if err != nil {
		return mailTLSFailure(err, p.provider, e)
	}
	defer conn.Close()
	return passed("%s", describeTLS(conn.state))
}

// extensions compares what mail programs are told before a login with what the
// provider supports. A program that uses an unsupported extension has its mail refused.
func (p *providerCheck) extensions(ctx context.Context, e oauth.Endpoint) finding {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	conn, err := openMail(ctx, p.provider, protocol.SMTP, e)
	if err != nil {
		return mailTLSFailure(err, p.provider, e)
	}
	client := smtp.NewClient(conn)
	defer client.Close()
	client.CommandTimeout = loginTime
	if err := client.Hello(helloName(p.run.subject)); err != nil {
		return failed("wait and try again; if it persists, check whether the address in the configuration is an SMTP server's",
			"EHLO at %s: %s", e.Host, quoted(noSecrets, timeoutError(ctx, err).Error()))
	}
	return compareExtensions(p.provider, client.Extension)
}

// helloName is the name for EHLO.
func helloName(s Subject) string {
	if s.Hostname == "" {
		return "localhost"
	}
	return s.Hostname
}

// tokenEndpoint checks the token endpoint, the clock and the OAuth client.
func (p *providerCheck) tokenEndpoint(ctx context.Context, out *reporter) {
	names := []string{"token dns", "token tcp", "token tls", "clock", "client"}
	if p.provider.TokenURL == "" {
		out.skip(ctx, "the provider has no token endpoint", names...)
		return
	}
	at := server{p.provider.Name, "token"}
	u, err := url.Parse(p.provider.TokenURL)
	if err != nil || u.Hostname() == "" {
		out.step(ctx, names[0], func() finding { return failed("write an address as token_url", "token_url is not an address") })
		p.run.setFailed(at, names[0])
		out.skip(ctx, "the step "+names[0]+" failed", names[1:]...)
		return
	}
	proxy, err := p.provider.ProxyFor(u)
	if err != nil {
		proxy = nil // the request itself will fail with it
	}
	host, port, via := firstHop(proxy, u.Hostname(), portOf(u))
	var response *oauth.Response
	for i, do := range []func() finding{
		func() finding { return byWayOf(via, resolve(ctx, p.run.subject.lookup, host)) },
		func() finding { return byWayOf(via, connect(ctx, host, port)) },
		func() (f finding) { response, f = p.tokenTLS(ctx, u); return f },
		func() finding { return clock(response, time.Now()) },
		func() finding { return p.client(ctx, u, out.secrets) },
	} {
		if broken := p.run.failedAt(at); broken != "" {
			out.skip(ctx, "the step "+broken+" failed", names[i])
		} else if out.step(ctx, names[i], do); len(out.failed) > 0 && i < 3 {
			p.run.setFailed(at, names[i])
		}
	}
}

// tokenTLS gets any response from the token endpoint: even a refusal of the method has
// a certificate and a Date.
func (p *providerCheck) tokenTLS(ctx context.Context, u *url.URL) (*oauth.Response, finding) {
	response, err := p.provider.ProbeTokenEndpoint(ctx, nil)
	switch {
	case errors.Is(err, oauth.ErrRefused):
		return nil, failed("write an https:// address as token_url", "%v", err)
	case err != nil && isTimeout(err):
		return nil, failed("try again; if it persists, look for a firewall or a proxy on the way", "no answer from %s within %s", u.Host, p.provider.CallTimeout())
	case err != nil:
		return nil, tlsFailure(err, p.provider, u.Hostname(), u.Host)
	case response.TLS == nil:
		return response, skipped("%s is on this machine, without TLS", u.Host)
	}
	return response, passed("%s", describeTLS(*response.TLS))
}

// clock compares the time of a response with this machine's.
func clock(response *oauth.Response, now time.Time) finding {
	if response == nil {
		return skipped("there was no response to compare with")
	}
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return skipped("the response of the token endpoint has no Date to compare with")
	}
	skew, direction := now.Sub(date), "ahead of"
	if skew < 0 {
		skew, direction = -skew, "behind"
	}
	if skew > maxSkew {
		return failed("set the clock of this machine, and synchronize it by NTP: timedatectl set-ntp true",
			"this machine's clock is %s %s the provider's, which makes TLS and signed requests fail", skew.Round(time.Second), direction)
	}
	return passed("within a minute of the provider's")
}

// client checks whether the provider knows the OAuth client, without affecting a grant:
// see invalidToken.
func (p *providerCheck) client(ctx context.Context, u *url.URL, secrets secret.Scrubber) finding {
	if c := p.provider.Certificate; c != nil {
		if !c.Expires.IsZero() && time.Until(c.Expires) < expiryWarning {
			return failed(fmt.Sprintf("make a new certificate, register it at the provider and name it in [provider.%s]", p.provider.Name),
				"the client's certificate expires on %s", c.Expires.Local().Format("2006-01-02 15:04"))
		}
		return skipped("with a certificate each refresh tells")
	}
	if p.provider.Flow != "" && p.provider.Flow != oauth.FlowConsent && p.provider.Flow != oauth.FlowDeviceCode {
		return skipped("with %s each refresh tells", p.provider.Flow)
	}
	if p.provider.ClientID == "" {
		return failed("make an OAuth client at the provider and name it as client_id", "no client_id is configured")
	}
	response, err := p.provider.ProbeTokenEndpoint(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {invalidToken}})
	if err != nil {
		return failed("try again; if it persists, look for a firewall or a proxy on the way", "the token endpoint at %s sent no complete response: %v", u.Host, err)
	}
	return judgeClient(p.provider, response.Status, response.Body, secrets)
}

// judgeClient returns what the response to invalidToken says of the client.
func judgeClient(p *oauth.Provider, status int, body []byte, secrets secret.Scrubber) finding {
	var response struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		// AADSTS numbers, at Microsoft.
		Codes []int `json:"error_codes"`
	}
	if json.Unmarshal(body, &response) != nil || response.Error == "" {
		return failed("try again later; if it persists, check whether a captive portal or a proxy answers instead of the provider",
			"the token endpoint answered %d without an OAuth error in JSON", status)
	}
	answered := fmt.Sprintf("the token endpoint answered %d %s", status, quoted(secrets, strings.TrimSpace(response.Error+": "+response.Description)))
	cause, known := clientCauses[response.Error]
	switch {
	case status >= 500 || status == http.StatusTooManyRequests:
		return failed("wait: the provider has an outage or limits the rate of calls, and authferry tries again", "%s", answered)
	case known:
		advice := cause.Advice("MAILBOX", p)
		return failed(advice.Fix, "%s: %s", advice.Words, answered).at(advice.Page)
	case response.Error == "invalid_grant" && len(response.Codes) == 0:
		return passed("%s is known to the provider", p.ClientID)
	}
	// Microsoft validates the token first, and says so by its number.
	return skipped("the provider does not tell without a grant; each refresh does")
}

// clientCauses are the errors that concern the client.
var clientCauses = map[string]oauth.Cause{
	"invalid_client":      oauth.CauseClient,
	"unauthorized_client": oauth.CauseClient,
	"deleted_client":      oauth.CauseClientDeleted,
}

// firstHop returns what is connected to on the way to a server: the server, or a proxy,
// which via then says.
func firstHop(proxy *url.URL, host string, port int) (hop string, hopPort int, via string) {
	if proxy == nil {
		return host, port, ""
	}
	return proxy.Hostname(), portOf(proxy), "by way of a proxy: "
}

// byWayOf adds to a finding that it is about a proxy.
func byWayOf(via string, f finding) finding {
	f.detail = via + f.detail
	return f
}

// portOf returns the port of a URL, or that of its scheme.
func portOf(u *url.URL) int {
	if port, err := strconv.Atoi(u.Port()); err == nil {
		return port
	}
	switch u.Scheme {
	case "http":
		return 80
	case "socks5", "socks5h":
		return 1080
	}
	return 443
}

// resolve looks a host up, with the system's resolver if lookup is nil.
func resolve(ctx context.Context, lookup func(context.Context, string) ([]netip.Addr, error), host string) finding {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if ip, err := netip.ParseAddr(host); err == nil {
		return passed("%s is an address already", ip)
	}
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addresses, err := lookup(ctx, host)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return failed("check the host name in the configuration; if it is right, this machine's DNS cannot resolve public names: look at /etc/resolv.conf", "there is no address for %s", host)
	case err != nil:
		return failed("make DNS work on this machine: look at /etc/resolv.conf, and check whether a firewall allows port 53", "looking up %s: %v", host, err)
	}
	var words []string
	for _, a := range addresses {
		words = append(words, a.Unmap().String())
	}
	return passed("%s is %s", host, strings.Join(words, ", "))
}

// connect tries a TCP connection.
func connect(ctx context.Context, host string, port int) finding {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		fix := fmt.Sprintf("allow this machine to connect to %s port %d: look for a firewall here or on the way", host, port)
		if isTimeout(err) {
			return failed(fix, "connecting to %s port %d: no answer within %s", host, port, dialTime)
		}
		return failed(fix, "connecting to %s port %d: %v", host, port, err)
	}
	defer conn.Close()
	return passed("connected to %s", conn.RemoteAddr())
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) && e.Timeout()
}
