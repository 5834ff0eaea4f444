package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"authferry/internal/config/document"
)

// monitorPort is the port of the monitor where its URL names none.
const MonitorPort = 8026

// readMonitor reads where monitors may ask, as host:port, or "" for nowhere.
func ReadMonitor(t *document.Table) string {
	text := t.Text("monitor", "")
	if text == "" {
		return ""
	}
	address, err := parseMonitor(text)
	if err != nil {
		t.Complain("monitor", err.Error(), `such as "http://127.0.0.1:8026"; "" is none`)
		return ""
	}
	if a, err := netip.ParseAddrPort(address); err != nil || !a.Addr().IsLoopback() {
		t.Warn(fmt.Sprintf("monitor: whoever can reach %s reads how many sessions there are and which mailboxes need a person: "+
			"let only your monitors reach it, or set monitor_mailboxes = false", text))
	}
	return address
}

func parseMonitor(text string) (string, error) {
	rest, found := strings.CutPrefix(text, "http://")
	if !found {
		return "", errors.New("a monitor is asked over http://")
	}
	u, err := url.Parse("monitor://" + rest)
	if err != nil || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("the URL of the monitor has an address and a port, and nothing else")
	}
	host, port, err := listenAddress(u, MonitorPort)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// monitorURL is how to ask a monitor that listens at an address from here. It
// names no host, since a container without /etc/hosts may not know localhost.
// A listener at [::] takes IPv4 too.
func MonitorURL(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
