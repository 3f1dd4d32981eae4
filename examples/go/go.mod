module modq.example/go

go 1.21

require github.com/gomodule/redigo v1.8.3
