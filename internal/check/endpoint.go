package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"authferry/proxy/upstream"
	"authferry/tokens/oauth"
)

// protocols in the order in which they are checked.
var protocols = []string{"imap", "pop3", "smtp"}

// endpointOf is where a provider serves a protocol.
func endpointOf(p *oauth.Provider, protocol string) oauth.Endpoint {
	switch protocol {
	case "imap":
		return p.IMAP
	case "pop3":
		return p.POP3
	}
	return p.SMTP
}

// place is a provider's servers.
type place struct {
	*run
	provider *oauth.Provider
}

// looks are the checks of a provider, independent of each other.
func (p *place) looks() (looks []func(context.Context, *list)) {
	for _, protocol := range protocols {
		if e := endpointOf(p.provider, protocol); e.Host != "" {
			looks = append(looks, func(ctx context.Context, l *list) { p.mail(ctx, l, protocol, e) })
		}
	}
	return append(looks, p.tokens)
}

// mail checks the way to a mail server.
func (p *place) mail(ctx context.Context, l *list, protocol string, e oauth.Endpoint) {
	host, port, via := firstHop(p.provider.Proxy, e.Host, e.Port)
	steps := []struct {
		name string
		do   func() finding
	}{
		{protocol + " dns", func() finding { return hop(p.resolve(ctx, host), via) }},
		{protocol + " tcp", func() finding { return hop(p.connect(ctx, host, port), via) }},
		{protocol + " tls", func() finding { return p.secure(ctx, protocol, e) }},
	}
	if protocol == "smtp" {
		steps = append(steps, struct {
			name string
			do   func() finding
		}{"smtp extensions", func() finding { return p.extensions(ctx, e) }})
	}
	for _, s := range steps {
		if at := p.brokenAt(p.provider.Name, protocol); at != "" {
			l.skip(ctx, "the step "+at+" failed", s.name)
		} else if !l.step(ctx, s.name, s.do) && s.name != "smtp extensions" {
			p.breaks(p.provider.Name, protocol, s.name)
		}
	}
}

// firstHop is what is connected to on the way to a server: itself, or a proxy.
func firstHop(through *url.URL, host string, port int) (string, int, string) {
	if through == nil {
		return host, port, ""
	}
	return through.Hostname(), portOf(through), "by way of a proxy: "
}

// portOf is the port of a URL, if only by its scheme.
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

// hop says that a finding is about a proxy, if it is.
func hop(f finding, via string) finding {
	f.detail = via + f.detail
	return f
}

// resolve looks a host up.
func (r *run) resolve(ctx context.Context, host string) finding {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if ip, err := netip.ParseAddr(host); err == nil {
		return fine("%s is an address already", ip)
	}
	lookup := r.lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addresses, err := lookup(ctx, host)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return failed("check the host name in the configuration; if it is right, this machine's DNS does not know the outside: look at /etc/resolv.conf", "there is no address for %s", host)
	case err != nil:
		return failed("make DNS work on this machine: look at /etc/resolv.conf, and whether a firewall lets port 53 through", "looking up %s: %v", host, err)
	}
	var words []string
	for _, a := range addresses {
		words = append(words, a.Unmap().String())
	}
	return fine("%s is %s", host, strings.Join(words, ", "))
}

// connect tries a TCP connection.
func (r *run) connect(ctx context.Context, host string, port int) finding {
	conn, err := dial(ctx, host, port)
	if err != nil {
		fix := fmt.Sprintf("let this machine connect to %s port %d: look for a firewall here or on the way", host, port)
		if isTimeout(err) {
			return failed(fix, "connecting to %s port %d: no answer within %s", host, port, dialTime)
		}
		return failed(fix, "connecting to %s port %d: %v", host, port, err)
	}
	defer conn.Close()
	return fine("connected to %s", conn.RemoteAddr())
}

func dial(ctx context.Context, host string, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) && e.Timeout()
}

// secure checks TLS with a mail server, and who vouches for it.
func (p *place) secure(ctx context.Context, protocol string, e oauth.Endpoint) finding {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	conn, err := open(ctx, p.provider, protocol, e)
	if err != nil {
		return tlsFailure(err, p.provider.Name, e.Host, fmt.Sprintf("%s port %d", e.Host, e.Port))
	}
	defer conn.Close()
	return fine("%s", vouched(conn.state))
}

// greeted is a TLS connection that begins with a greeting. After STARTTLS the
// server says none, but clients that are handed the connection wait for one.
type greeted struct {
	net.Conn
	greeting string
	state    tls.ConnectionState
	heard    int
}

// maxHeard bounds what is read on one connection; the longest there is, a list
// of folders, has about a hundred bytes for each.
const maxHeard = 16 << 20

var errTooMuch = errors.New("the server talks without end")

func (c *greeted) Read(b []byte) (int, error) {
	if c.greeting != "" {
		n := copy(b, c.greeting)
		c.greeting = c.greeting[n:]
		return n, nil
	}
	if c.heard > maxHeard {
		return 0, errTooMuch
	}
	n, err := c.Conn.Read(b)
	c.heard += n
	return n, err
}

// unreached is a server that was not reached at all: the way to it has changed
// since the step before, or a proxy does not go on to it.
type unreached struct{ error }

func (e *unreached) Unwrap() error { return e.error }

// open connects to a mail server and begins TLS. The end of ctx closes the
// connection, so that whoever waits on it gets an error.
func open(ctx context.Context, p *oauth.Provider, protocol string, e oauth.Endpoint) (*greeted, error) {
	raw, err := upstream.Dial(ctx, p, e)
	if err != nil {
		return nil, &unreached{timely(ctx, err)}
	}
	context.AfterFunc(ctx, func() { raw.Close() })
	c := &greeted{}
	if e.StartTLS {
		if c.greeting, err = startTLS(raw, protocol); err != nil {
			raw.Close()
			return nil, timely(ctx, err)
		}
	}
	secure := tls.Client(raw, &tls.Config{ServerName: e.Host, RootCAs: p.RootCAs, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, timely(ctx, err)
	}
	c.Conn, c.state = secure, secure.ConnectionState()
	return c, nil
}

// timely says that the time was over, where an error is only of the connection
// that was closed for it.
func timely(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("no answer in time: %w", ctx.Err())
	}
	return err
}
