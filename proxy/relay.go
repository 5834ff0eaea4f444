package proxy

// relay carries bytes both ways until the provider ends.
func relay(client, provider *lineConn) (sent, received int64) { panic("unwritten") }
